package ticket

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"strings"
	"sync"
	"time"
)

// A Session is what a viewer may load once a token was accepted. It stands in
// the links that the viewer gets, so nothing needs to be remembered of it.
type Session struct {
	// Name tells sessions apart. Open sets it, to a part of the text.
	Name string
	// Began is when the token was accepted, in whole seconds.
	Began         time.Time
	HasViewer     bool // the token named a viewer, and so Viewer and Version are set
	Viewer        Viewer
	Version       int64
	Strict        bool
	Origins       Origins
	MaxResolution Resolution
}

// NewSession returns the session that the token begins.
func NewSession(t Token, now time.Time) Session {
	s := Session{Began: now, Strict: t.Strict, Origins: t.Origins, MaxResolution: t.MaxResolution}
	if t.ViewerID != "" {
		s.HasViewer, s.Viewer, s.Version = true, ViewerOf(t.ViewerID), t.Version
	}
	return s
}

// What a session's text holds, in base64url:
//
//	1 byte    flags: 1 a viewer follows, 2 strict, 4.. the resolution
//	8 bytes   random; with the flags, the first 12 characters: the name
//	4 bytes   Began, seconds since 1970
//	16, 8     the viewer and the version, with flag 1
//	0..       the origins
//	16 bytes  HMAC-SHA256, cut short, over the channel's and the run's names,
//	          each after its length, and all of this
const (
	flagViewer      = 1
	flagStrict      = 2
	resolutionShift = 2

	headSize    = 1 + 8 + 4
	viewerSize  = len(Viewer{}) + 8
	macSize     = 16
	nameSize    = 12
	maxSession  = MaxToken * 2 // characters; the origins are a part of a token
	minimumText = (headSize+macSize)*4/3 + 1
)

// A Sealer writes and reads sessions with a key of its own: what one wrote,
// another does not take. All of its methods may be called at any time.
type Sealer struct {
	key  [sha256.Size]byte
	pool sync.Pool // of *seal
}

// A seal is the scratch space of one call.
type seal struct {
	mac  hash.Hash
	text []byte
	data []byte // the names, each after its length, and the session
	sum  []byte
}

// NewSealer returns a Sealer with a new random key.
func NewSealer() *Sealer {
	s := &Sealer{}
	rand.Read(s.key[:]) // never fails
	s.pool.New = func() any { return s.newSeal() }
	return s
}

func (s *Sealer) newSeal() *seal { return &seal{mac: hmac.New(sha256.New, s.key[:])} }

// begin writes what the session is bound to, and returns its length.
func (x *seal) begin(channel, run string) int {
	x.data = x.data[:0]
	for _, name := range [...]string{channel, run} {
		x.data = binary.AppendUvarint(x.data, uint64(len(name)))
		x.data = append(x.data, name...)
	}
	return len(x.data)
}

// sign returns the HMAC over b; it is valid until the next call.
func (x *seal) sign(b []byte) []byte {
	x.mac.Reset()
	x.mac.Write(b)
	x.sum = x.mac.Sum(x.sum[:0])
	return x.sum[:macSize]
}

// Seal returns the text of a new session of a channel's run.
func (s *Sealer) Seal(channel, run string, session Session) string {
	x := s.pool.Get().(*seal)
	defer s.pool.Put(x)
	from := x.begin(channel, run)
	flags := byte(session.MaxResolution) << resolutionShift
	if session.HasViewer {
		flags |= flagViewer
	}
	if session.Strict {
		flags |= flagStrict
	}
	x.data = append(x.data, flags)
	var random [8]byte
	rand.Read(random[:])
	x.data = append(x.data, random[:]...)
	x.data = binary.BigEndian.AppendUint32(x.data, uint32(session.Began.Unix()))
	if session.HasViewer {
		x.data = append(x.data, session.Viewer[:]...)
		x.data = binary.BigEndian.AppendUint64(x.data, uint64(session.Version))
	}
	x.data = append(x.data, session.Origins...)
	x.data = append(x.data, x.sign(x.data)...)
	return base64.RawURLEncoding.EncodeToString(x.data[from:])
}

// encoding takes one spelling of a text alone, but for line ends, which it
// skips.
var encoding = base64.RawURLEncoding.Strict()

// Open reads the text of a session. It is false for what the Sealer did not
// write for this channel's run, and for what is older than SessionLife.
func (s *Sealer) Open(channel, run, text string, now time.Time) (Session, bool) {
	if len(text) < minimumText || len(text) > maxSession || strings.ContainsAny(text, "\r\n") {
		return Session{}, false
	}
	x := s.pool.Get().(*seal)
	defer s.pool.Put(x)
	return x.open(channel, run, text, now)
}

func (x *seal) open(channel, run, text string, now time.Time) (Session, bool) {
	from := x.begin(channel, run)
	x.text = append(x.text[:0], text...)
	var err error
	if x.data, err = encoding.AppendDecode(x.data, x.text); err != nil {
		return Session{}, false
	}
	end := len(x.data) - macSize
	if subtle.ConstantTimeCompare(x.sign(x.data[:end]), x.data[end:]) != 1 {
		return Session{}, false
	}
	b := x.data[from:end]
	session := Session{
		Name:          text[:nameSize],
		Began:         time.Unix(int64(binary.BigEndian.Uint32(b[9:])), 0),
		HasViewer:     b[0]&flagViewer != 0,
		Strict:        b[0]&flagStrict != 0,
		MaxResolution: Resolution(b[0] >> resolutionShift),
	}
	b = b[headSize:]
	if session.HasViewer {
		session.Viewer = Viewer(b[:len(session.Viewer)])
		session.Version = int64(binary.BigEndian.Uint64(b[len(session.Viewer):]))
		b = b[viewerSize:]
	}
	session.Origins = Origins(b)
	return session, now.Sub(session.Began) < SessionLife
}

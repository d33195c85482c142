package signal

import (
	"bufio"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/coder/websocket"

	"belfry.live/belfry/internal/wire/chime"
)

// subprotocol is the one that is spoken; the client offers it together with
// its join token, which is no protocol and never answered.
const subprotocol = "_aws_wt_session"

// What may follow the join token. The first is the client's mark of a content
// share; the others an application may append to say how the attendee's media
// must go. No token has such characters.
const (
	content = "#content"
	relayed = ".relay"
	direct  = ".direct"
)

// maxToken is the longest join token looked at, in bytes.
const maxToken = 2048

// A Relay says whether media goes by TURN.
type Relay int

// Without a hint the server decides.
const (
	RelayAuto Relay = iota
	RelayAlways
	RelayNever
)

// Credentials are what a connection, or a request, brings to be let in.
type Credentials struct {
	Token string
	Share bool // for sharing content
	Relay Relay
}

// ParseToken reads the marks that follow a join token.
func ParseToken(token string) (c Credentials) {
	if len(token) > maxToken {
		return Credentials{}
	}
	token, c.Share = strings.CutSuffix(token, content)
	if t, ok := strings.CutSuffix(token, relayed); ok {
		token, c.Relay = t, RelayAlways
	} else if t, ok := strings.CutSuffix(token, direct); ok {
		token, c.Relay = t, RelayNever
	}
	c.Token = token
	return c
}

// RequestCredentials returns what the request carries as its second WebSocket
// subprotocol. The token is empty if there is none.
func RequestCredentials(r *http.Request) Credentials {
	var token string
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			if p = strings.TrimSpace(p); p != "" && p != subprotocol {
				token = p
			}
		}
	}
	return ParseToken(token)
}

// Accept upgrades the request. Pages of any origin may connect: the join token
// is what lets them in. On an error the request has been answered.
func Accept(w http.ResponseWriter, r *http.Request, cfg Config, log *slog.Logger) (*Session, error) {
	h := &hijack{ResponseWriter: w}
	conn, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		InsecureSkipVerify: true,
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(chime.MaxFrame)
	return newSession(conn, h.conn, cfg.withDefaults(), log), nil
}

// Refuse closes a session that never ran and waits for that.
func (s *Session) Refuse(code int, reason string) {
	s.Close(code, reason)
	s.hangUp()
}

// hijack remembers the connection that is taken from the HTTP server, so that
// it can be cut while the WebSocket library waits for the peer.
type hijack struct {
	http.ResponseWriter
	conn net.Conn
}

func (h *hijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.conn = c
	return c, rw, err
}

package attendee

import (
	"fmt"
	"strings"

	"belfry.live/belfry/internal/attendee/link"
)

// An offer is what an SDP offer says. Its sections are the audio, the own
// camera, and one for each video that is or was received.
type offer struct {
	session, version uint64
	local            link.Description
	codecs           []Codec
	stereo, red      bool

	audio  *outgoing
	camera *filming    // nil: off
	layers []*outgoing // of the camera
	videos []offeredVideo
}

// An offeredVideo is a section that receives.
type offeredVideo struct {
	mid    string
	active bool
}

// The mids of the first two sections.
const (
	midAudio  = "0"
	midCamera = "1"
)

// write gives the text.
func (o *offer) write() string {
	b := new(strings.Builder)
	line := func(format string, args ...any) { fmt.Fprintf(b, format+"\r\n", args...) }
	line("v=0")
	line("o=- %d %d IN IP4 127.0.0.1", o.session, o.version)
	line("s=-")
	line("t=0 0")
	bundle := midAudio + " " + midCamera
	for _, v := range o.videos {
		bundle += " " + v.mid
	}
	line("a=group:BUNDLE %s", bundle)
	line("a=extmap-allow-mixed")
	line("a=msid-semantic: WMS attendee")
	o.audioSection(b, line)
	o.cameraSection(b, line)
	for _, v := range o.videos {
		direction := "inactive"
		if v.active {
			direction = "recvonly"
		}
		list := offered(o.codecs, 0)
		o.header(line, "video", typesOf(list), v.mid, direction)
		line("a=extmap:%d %s", extTransport, uriTransport)
		line("a=extmap:%d %s", extMID, uriMID)
		videoLines(b, list)
	}
	return b.String()
}

func typesOf(list []format) string {
	var types []string
	for _, f := range list {
		types = append(types, fmt.Sprintf("%d %d", f.number, f.number+1))
	}
	return strings.Join(types, " ")
}

// header writes what all sections begin with.
func (o *offer) header(line func(string, ...any), kind, types, mid, direction string) {
	line("m=%s 9 UDP/TLS/RTP/SAVPF %s", kind, types)
	line("c=IN IP4 0.0.0.0")
	line("a=rtcp:9 IN IP4 0.0.0.0")
	if mid == midAudio {
		for _, c := range o.local.Candidates {
			line("a=candidate:%v", c)
		}
	}
	line("a=ice-ufrag:%s", o.local.Ufrag)
	line("a=ice-pwd:%s", o.local.Pwd)
	line("a=fingerprint:%s", o.local.Fingerprint)
	line("a=setup:actpass")
	line("a=mid:%s", mid)
	line("a=%s", direction)
	line("a=rtcp-mux")
	line("a=rtcp-rsize")
}

func (o *offer) audioSection(b *strings.Builder, line func(string, ...any)) {
	types, params := fmt.Sprint(typeOpus), "minptime=10;useinbandfec=1"
	if o.red {
		types = fmt.Sprintf("%d %d", typeRED, typeOpus)
	}
	if o.stereo {
		params += ";stereo=1;sprop-stereo=1"
	}
	o.header(line, "audio", types, midAudio, "sendrecv")
	line("a=extmap:%d %s", extLevel, uriLevel)
	line("a=extmap:%d %s", extTransport, uriTransport)
	line("a=extmap:%d %s", extMID, uriMID)
	line("a=msid:attendee audio")
	if o.red {
		line("a=rtpmap:%d red/48000/2", typeRED)
		line("a=fmtp:%d %d/%d", typeRED, typeOpus, typeOpus)
	}
	line("a=rtpmap:%d opus/48000/2", typeOpus)
	line("a=rtcp-fb:%d transport-cc", typeOpus)
	line("a=fmtp:%d %s", typeOpus, params)
	line("a=ssrc:%d cname:attendee", o.audio.ssrc)
}

func (o *offer) cameraSection(b *strings.Builder, line func(string, ...any)) {
	direction := "inactive"
	list := offered(o.codecs, 0)
	if o.camera != nil {
		direction = "sendrecv"
		list = offered(append([]Codec{o.camera.codec}, without(o.codecs, o.camera.codec)...), o.camera.codec)
	}
	o.header(line, "video", typesOf(list), midCamera, direction)
	line("a=extmap:%d %s", extTransport, uriTransport)
	line("a=extmap:%d %s", extMID, uriMID)
	line("a=extmap:%d %s", extRID, uriRID)
	line("a=extmap:%d %s", extRepaired, uriRepaired)
	videoLines(b, list)
	if o.camera == nil {
		return
	}
	line("a=msid:attendee video")
	if o.camera.layers[0].RID == "" {
		s := o.layers[0]
		line("a=ssrc-group:FID %d %d", s.ssrc, s.rtx)
		line("a=ssrc:%d cname:attendee", s.ssrc)
		line("a=ssrc:%d cname:attendee", s.rtx)
		return
	}
	var rids []string
	for _, l := range o.camera.layers {
		line("a=rid:%s send", l.RID)
		if l.MaxKbps == 0 {
			rids = append(rids, "~"+l.RID)
		} else {
			rids = append(rids, l.RID)
		}
	}
	line("a=simulcast:send %s", strings.Join(rids, ";"))
}

func without(list []Codec, c Codec) []Codec {
	var rest []Codec
	for _, x := range list {
		if x != c {
			rest = append(rest, x)
		}
	}
	return rest
}

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

// content marks the join token, and the attendee, of a content share.
const content = "#content"

// maxToken is the longest join token looked at, in bytes.
const maxToken = 2048

// Token returns the join token that the request carries as its second
// WebSocket subprotocol, without the mark of a content share. It is empty if
// there is none.
func Token(r *http.Request) (token string, share bool) {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			if p = strings.TrimSpace(p); p != "" && p != subprotocol {
				token = p
			}
		}
	}
	if len(token) > maxToken {
		return "", false
	}
	return strings.CutSuffix(token, content)
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

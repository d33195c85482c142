package natskv

import (
	"fmt"

	"github.com/nats-io/nats.go"
)

// Connect opens one more connection to the embedded server, for streams that
// are no tables. The server makes all durable writes of one connection one
// after the other, so whoever writes much wants its own. The caller closes it,
// before the Store.
func (s *Store) Connect(name string) (*nats.Conn, error) {
	conn, err := nats.Connect("", nats.InProcessServer(s.server), nats.Name(name), nats.MaxReconnects(-1))
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server: %w", err)
	}
	return conn, nil
}

// Package natskv keeps package store's tables in NATS JetStream key-value
// buckets, one bucket a table. By default it runs the NATS server itself,
// inside this process and without a listener, with every write flushed to disk
// before it is acknowledged.
package natskv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry.live/belfry/internal/store"
)

// Config says where the embedded server keeps its files.
type Config struct {
	Dir string // made if missing
}

const (
	startLimit = 10 * time.Second
	// diskLimit is how long a request may take whose caller has set no limit:
	// every write waits for the disk, which may be slow for a while.
	diskLimit = 30 * time.Second
	// markerTTL is how long the trace of a removed key stays, so that writers
	// who still hold its revision are told, and those who watch.
	markerTTL = store.ForgetAfter
)

// A Store is an embedded NATS server and the connection to it.
type Store struct {
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream
}

// Open starts the embedded server on the folder and connects to it. Only one
// process may have the folder open; the caller sees to that.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Store, error) {
	if cfg.Dir == "" {
		return nil, errors.New("no folder given")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	srv, err := server.NewServer(&server.Options{
		ServerName: "belfry",
		DontListen: true,
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   filepath.Clean(cfg.Dir),
		SyncAlways: true,
		// Unset limits make the server measure memory and disk at start and
		// reserve shares of them; the tables are small.
		JetStreamMaxMemory: 64 << 20,
		JetStreamMaxStore:  16 << 30,
	})
	if err != nil {
		return nil, fmt.Errorf("make the embedded NATS server: %w", err)
	}
	srv.SetLoggerV2(logger{log.With("part", "nats")}, false, false, false)
	srv.Start()
	s := &Store{server: srv}
	wait := startLimit
	if d, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(d))
	}
	if !srv.ReadyForConnections(wait) {
		s.Close()
		return nil, fmt.Errorf("the embedded NATS server was not ready within %v", wait)
	}
	s.conn, err = nats.Connect("", nats.InProcessServer(srv), nats.Name("belfry"), nats.MaxReconnects(-1))
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("connect to the embedded NATS server: %w", err)
	}
	s.js, err = jetstream.New(s.conn, jetstream.WithDefaultTimeout(diskLimit))
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	return s, nil
}

// Close ends the connection and the server, and waits for both.
func (s *Store) Close() {
	if s.conn != nil {
		s.conn.Close()
	}
	s.server.Shutdown()
	s.server.WaitForShutdown()
}

// Table opens the table, and makes it if it is not there.
func (s *Store) Table(ctx context.Context, name string, cfg store.TableConfig) (store.Table, error) {
	kv, err := s.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:         name,
		History:        1,
		TTL:            cfg.TTL,
		MaxValueSize:   store.MaxValue,
		Storage:        jetstream.FileStorage,
		LimitMarkerTTL: markerTTL,
	})
	if err != nil {
		return nil, fmt.Errorf("open table %s: %w", name, err)
	}
	return &table{kv: kv}, nil
}

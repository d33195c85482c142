// Package store keeps what must survive a restart: small records in named
// tables, each record with a revision so that two writers cannot overwrite
// each other unseen. It holds the interface alone; package natskv implements
// it with NATS JetStream, and package storetest is the suite that every
// implementation must pass.
//
// A write that returned without error is on disk.
package store

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrNotFound says that the table has no record with that key.
	ErrNotFound = errors.New("no such record")
	// ErrExists says that Create found a record with that key.
	ErrExists = errors.New("the record exists already")
	// ErrConflict says that the record's revision is not the expected one.
	ErrConflict = errors.New("the record was changed by another writer")
)

// MaxValue is the largest value a record holds, in bytes.
const MaxValue = 512 << 10

// A Record is one value with its key and the revision of its last write.
type Record struct {
	Key      string
	Value    []byte
	Revision uint64 // grows with every write of the table, never 0
}

// A Table holds records by key. Keys are 1 to 256 characters of
// [A-Za-z0-9_=/.-] and neither begin nor end with a dot. All methods may be
// called from several goroutines.
type Table interface {
	// Get returns the record with the key, or ErrNotFound.
	Get(ctx context.Context, key string) (Record, error)
	// Create writes a new record and returns its revision, or ErrExists.
	Create(ctx context.Context, key string, value []byte) (uint64, error)
	// Put writes the record whatever its revision is.
	Put(ctx context.Context, key string, value []byte) (uint64, error)
	// Update writes the record if its revision still is the given one, else
	// it returns ErrConflict (also when the record is gone).
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	// Delete removes the record if its revision still is the given one, else
	// it returns ErrConflict. Revision 0 removes it whatever it is. Removing
	// what is not there returns ErrNotFound.
	Delete(ctx context.Context, key string, revision uint64) error
	// List returns the records whose keys begin with the prefix, by key, as
	// they were at one moment: no change is missing that is older than the
	// newest of them.
	List(ctx context.Context, prefix string) ([]Record, error)
	// Watch tells of the changes whose revisions are greater than after, in
	// the order of their revisions, until ctx ends (then it returns nil) or
	// the table cannot be read. Of several changes of one record only the last
	// may be told. A removal is told to those who watch within ForgetAfter.
	// The next change waits until tell has returned.
	Watch(ctx context.Context, after uint64, tell func(Change)) error
}

// ForgetAfter is how long a table remembers that a record was removed.
const ForgetAfter = time.Hour

// A Change is a record as it was written. Of a removed one, by whomever or by
// its time to live, it has the key and the revision of the removal.
type Change struct {
	Record
	Removed bool
}

// TableConfig says how a table behaves; its zero value is a table that keeps
// everything.
type TableConfig struct {
	TTL time.Duration // records vanish this long after their last write; 0: never
}

// Tables opens tables by name ([a-z0-9_-]+).
type Tables interface {
	// Table opens the named table and makes it if it is not there.
	Table(ctx context.Context, name string, cfg TableConfig) (Table, error)
}

package access

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// LookEvery is how often a Book looks whether its file has changed, at most,
// while it knows the keys it is asked for.
const LookEvery = time.Second / 2

// A Book finds keys by their ids. It follows the file that they are in.
type Book struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex // guards what follows
	keys   map[string]Key
	owner  Key
	file   fs.FileInfo // what keys was read from
	looked time.Time
	failed string // why the file could not be read again, as logged
}

// Open reads the file of keys. If it is missing it is made, with the owner's
// key in it: a key for everything in the server's own account.
func Open(path string, log *slog.Logger) (*Book, error) {
	b := &Book{path: path, log: log, looked: time.Now()}
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = change(path, time.Now(), func(keys []Key) ([]Key, error) { return keys, nil })
	}
	if err == nil {
		err = b.read()
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Find returns the key of the id, also an expired one. A key that was made just
// now is found at once, one that was revoked until LookEvery has passed.
func (b *Book) Find(id string) (Key, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.look(now, LookEvery)
	k, ok := b.keys[id]
	if !ok && b.failed == "" { // a file that is wrong is not read for every stranger
		b.look(now, 0)
		k, ok = b.keys[id]
	}
	return k, ok
}

// Owner returns a key that may do everything in the server's own account.
func (b *Book) Owner() Key {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look(time.Now(), LookEvery)
	return b.owner
}

// look reads the file again if it has changed, unless the last look was less
// than the time ago. A file that cannot be read leaves the keys as they were.
// The caller holds the mutex.
func (b *Book) look(now time.Time, ago time.Duration) {
	if now.Sub(b.looked) < ago {
		return
	}
	b.looked = now
	info, err := os.Stat(b.path)
	if err == nil && unchanged(info, b.file) {
		return
	}
	if err == nil {
		err = b.read()
	}
	if err == nil {
		b.failed = ""
		b.log.Info("access keys read again", "keys", len(b.keys))
		return
	}
	if err.Error() != b.failed { // once, not at every look
		b.failed = err.Error()
		b.log.Error("access keys cannot be read again, those before stay", "err", err)
	}
}

// read reads the file. The caller holds the mutex, or nobody else knows b.
func (b *Book) read() error {
	info, err := os.Stat(b.path) // before: a later change shows
	if err != nil {
		return err
	}
	list, err := read(b.path)
	if err != nil {
		return err
	}
	keys := make(map[string]Key, len(list))
	for _, k := range list {
		keys[k.ID] = k
	}
	b.keys, b.file = keys, info
	b.owner, _ = Owner(list) // there is one, or read had failed
	return nil
}

func unchanged(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

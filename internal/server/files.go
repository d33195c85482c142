package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookEvery is how often certificate files are looked at, at most.
const lookEvery = 10 * time.Second

// certificateFiles is a certificate that somebody else renews.
type certificateFiles struct {
	certificate, key string // paths
	log              *slog.Logger

	mu      sync.Mutex // guards what follows
	pair    *tls.Certificate
	changed time.Time // the files, when pair was read
	looked  time.Time
}

func openCertificateFiles(certificate, key string, log *slog.Logger) (*certificateFiles, error) {
	f := &certificateFiles{certificate: certificate, key: key, log: log}
	if err := f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

// read reads both files. The caller holds the mutex, or nobody else knows f.
func (f *certificateFiles) read() error {
	changed, err := f.lastChange()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(f.certificate, f.key)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", f.certificate, f.key, err)
	}
	f.pair, f.changed = &pair, changed
	return nil
}

func (f *certificateFiles) lastChange() (time.Time, error) {
	var last time.Time
	for _, path := range []string{f.certificate, f.key} {
		info, err := os.Stat(path)
		if err != nil {
			return time.Time{}, fmt.Errorf("certificate: %w", err)
		}
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last, nil
}

// get returns the certificate, read again if the files have changed. While
// they do not fit each other the one before stays.
func (f *certificateFiles) get(now time.Time) *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.looked) < lookEvery {
		return f.pair
	}
	f.looked = now
	changed, err := f.lastChange()
	if err == nil && !changed.Equal(f.changed) {
		if err = f.read(); err == nil {
			f.log.Info("certificate read again", "until", f.pair.Leaf.NotAfter)
		}
	}
	if err != nil {
		f.log.Error("certificate cannot be read again", "err", err)
	}
	return f.pair
}

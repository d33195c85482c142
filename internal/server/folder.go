package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// A Folder is the data folder, held by this process.
type Folder struct {
	path string
	lock *os.File
}

// ErrInUse says that another server has the data folder.
var ErrInUse = errors.New("another belfry is running on this data folder")

// Files of the data folder.
const (
	lockFile    = "lock"
	runningFile = "running.json"
	keysFile    = "keys.json"
	natsFolder  = "nats"
	tlsFolder   = "tls"
	turnFile    = "turn.key"
	pagesFile   = "pages.key"
)

// OpenFolder makes the folder if it is missing and takes it for this process.
func OpenFolder(path string) (*Folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the data folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", path, ErrInUse)
		}
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	return &Folder{path, lock}, nil
}

// Close lets the folder go.
func (f *Folder) Close() {
	_ = os.Remove(f.file(runningFile)) // says that a server runs; stale, it is harmless
	f.lock.Close()
}

func (f *Folder) file(name ...string) string {
	return filepath.Join(append([]string{f.path}, name...)...)
}

// write puts a file in place whole or not at all.
func write(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	return err
}

// Running is what a running server leaves in its data folder for commands
// that want to talk to it.
type Running struct {
	Process  int    `json:"process"`
	Endpoint string `json:"endpoint"` // where this machine reaches the HTTP port
	API      string `json:"api"`      // and there the APIs
	Region   string `json:"region"`
}

// ErrNotRunning says that no server has the data folder.
var ErrNotRunning = errors.New("no belfry is running on this data folder")

// KeysFile is the data folder's file of access keys.
func KeysFile(folder string) string { return filepath.Join(folder, keysFile) }

// ReadRunning returns how to reach the server that runs on the folder.
func ReadRunning(path string) (Running, error) {
	lock, err := os.Open(filepath.Join(path, lockFile))
	if errors.Is(err, os.ErrNotExist) {
		return Running{}, fmt.Errorf("%s: %w", path, ErrNotRunning)
	}
	if err != nil {
		return Running{}, err
	}
	defer lock.Close()
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		return Running{}, fmt.Errorf("%s: %w", path, ErrNotRunning)
	}
	var r Running
	if err := readJSON(filepath.Join(path, runningFile), &r); err != nil {
		return Running{}, fmt.Errorf("the server is not ready yet: %w", err)
	}
	return r, nil
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return write(path, append(b, '\n'))
}

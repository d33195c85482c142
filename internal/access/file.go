package access

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// maxFile limits the file of keys, in bytes: MaxKeys with the longest policies
// fit in.
const maxFile = 64 << 20

// A record is a key as the file has it. The file is a list of them, an owner's
// key first.
type record struct {
	ID           string    `json:"accessKeyId"`
	Secret       string    `json:"secretAccessKey"`
	SessionToken string    `json:"sessionToken,omitempty"`
	Account      string    `json:"account,omitempty"`
	Name         string    `json:"name,omitempty"`
	Created      time.Time `json:"created,omitzero"`
	Expires      time.Time `json:"expires,omitzero"`
	Policy       Policy    `json:"policy,omitzero"`
}

// read reads the file. A member that it does not know is an error, since it
// might be one that takes a permission away.
func read(path string) ([]Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the access keys: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("the file has more than %d bytes", maxFile)
	}
	var keys []Key
	if err == nil {
		keys, err = parse(text)
	}
	if err != nil {
		return nil, fmt.Errorf("read the access keys: %s: %w", path, err)
	}
	return keys, nil
}

func parse(text []byte) ([]Key, error) {
	var records []record
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&records); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the file goes on after its list")
	}
	if len(records) > MaxKeys {
		return nil, fmt.Errorf("%w: there are %d, at most %d can be", ErrFull, len(records), MaxKeys)
	}
	keys := make([]Key, 0, len(records))
	seen := map[string]bool{}
	for i, r := range records {
		err := r.check()
		if err == nil && seen[r.ID] {
			err = errors.New("it is there twice")
		}
		if err != nil {
			return nil, fmt.Errorf("key %d (%.128q): %w", i+1, r.ID, err)
		}
		seen[r.ID] = true
		keys = append(keys, Key{
			r.ID, NewSecret(r.Secret), NewSecret(r.SessionToken), r.Account, r.Name, r.Created, r.Expires, r.Policy,
		})
	}
	if _, ok := Owner(keys); !ok {
		return nil, errors.New("no key may do everything in the server's own account")
	}
	return keys, nil
}

func (r record) check() error {
	switch {
	case r.ID == "" || len(r.ID) > 128 || !all(r.ID, isLetter, isDigit, is("_-")):
		return errors.New("accessKeyId must be 1 to 128 letters, digits, _ and -")
	case r.Secret == "":
		return errors.New("secretAccessKey is required")
	case (r.SessionToken == "") != r.Expires.IsZero():
		return errors.New("sessionToken and expires go together")
	}
	return cmp.Or(checkAccount(r.Account), checkName(r.Name))
}

// write puts the file in place whole or not at all, an owner's key first, and
// returns when it is on disk. The caller holds the lock.
func write(path string, keys []Key) error {
	if i := slices.IndexFunc(keys, Key.Owner); i > 0 {
		owner := keys[i]
		keys = slices.Insert(slices.Delete(keys, i, i+1), 0, owner)
	}
	var records []record
	for _, k := range keys {
		records = append(records, record{
			k.ID, k.Secret.Reveal(), k.SessionToken.Reveal(), k.Account, k.Name, k.Created, k.Expires, k.Policy,
		})
	}
	text, err := json.MarshalIndent(records, "", "  ")
	if err == nil {
		err = replace(path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the access keys: %w", err)
	}
	return nil
}

// replace writes the file under another name first. There is one such name,
// so that nobody who is killed in the middle leaves secrets behind for good.
func replace(path string, text []byte) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	name := path + ".new"
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tmp, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(name) // if it is still there
	err = hand(tmp)
	if err == nil {
		_, err = tmp.Write(text)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err = cmp.Or(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(name, path); err != nil {
		return err
	}
	return folder.Sync()
}

// hand gives a new file to the owner of its folder, so that root may change the
// keys of a server that runs as somebody else.
func hand(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(f.Name()))
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return f.Chown(int(owner.Uid), int(owner.Gid))
}

// lock keeps other processes from changing the file, until unlock. It is a
// file of its own, since the other gets replaced.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		if err = cmp.Or(hand(f), take(f)); err == nil {
			return func() { f.Close() }, nil
		}
		f.Close()
	}
	return nil, fmt.Errorf("lock the access keys: %w", err)
}

// take waits until nobody else has the file's lock.
func take(f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

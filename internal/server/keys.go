package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
)

// A Key lets its holder call the APIs.
type Key struct {
	ID     string `json:"accessKeyId"`
	Secret string `json:"secretAccessKey"`
}

// String keeps the secret out of logs.
func (k Key) String() string { return k.ID }

// keys are the access keys of the data folder, by id.
type keys map[string]string

// Secret returns the secret of the access key.
func (k keys) Secret(id string) (string, bool) {
	s, ok := k[id]
	return s, ok
}

// openKeys reads the folder's access keys, and makes the owner's at the first
// start.
func openKeys(path string) ([]Key, error) {
	list, err := readKeys(path)
	if errors.Is(err, os.ErrNotExist) {
		list = []Key{{ID: "AKIA" + random(16, upper), Secret: random(40, letters)}}
		err = writeJSON(path, list)
	}
	return list, err
}

func readKeys(path string) ([]Key, error) {
	var list []Key
	if err := readJSON(path, &list); err != nil {
		return nil, fmt.Errorf("read the access keys: %w", err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s holds no access key", path)
	}
	return list, nil
}

const (
	upper   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// random draws n characters from the alphabet, whose length divides 256.
func random(n int, alphabet string) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}

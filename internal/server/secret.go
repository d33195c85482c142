package server

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
)

const secretSize = 32 // bytes

// openSecret reads a secret of the data folder, and makes it at the first start.
func openSecret(path string) (secret [secretSize]byte, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		_, _ = rand.Read(secret[:]) // never fails
		return secret, write(path, []byte(hex.EncodeToString(secret[:])+"\n"))
	}
	if err != nil {
		return secret, err
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(b) != secretSize {
		return secret, fmt.Errorf("%s holds no secret of %d bytes", path, secretSize)
	}
	return [secretSize]byte(b), nil
}

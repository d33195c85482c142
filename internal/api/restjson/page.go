package restjson

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"iter"
	"slices"
	"strings"
)

// maxPosition is the longest position in a list that a token holds, in bytes;
// IVS's tokens have at most 1,024 characters.
const maxPosition = 700

// Pages seals the tokens that lists give out. A token is a position in one
// list, encrypted, and good for that list alone, of one account and region and
// with the filters that it was given out for.
type Pages struct{ aead cipher.AEAD }

// NewPages returns a Pages whose tokens are good wherever the secret is the
// same.
func NewPages(secret [32]byte) *Pages {
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		panic("restjson: " + err.Error()) // a key of 32 bytes is one
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("restjson: " + err.Error())
	}
	return &Pages{aead}
}

// newPages returns a Pages with a secret that nobody else has.
func newPages() *Pages {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // it never fails
	return NewPages(secret)
}

func (p *Pages) seal(list, position string) string {
	return base64.RawURLEncoding.EncodeToString(p.aead.Seal(nil, nil, []byte(position), []byte(list)))
}

func (p *Pages) open(list, token string) (position string, ok bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", false
	}
	text, err := p.aead.Open(nil, nil, sealed, []byte(list))
	return string(text), err == nil
}

// A tokenError is about a token that no page of the list gave out.
type tokenError struct{ token string }

func (e *tokenError) Error() string {
	return "no earlier page of this list, in this region and with these filters, gave out this token" + Text{}.show(e.token)
}

// Page cuts a page of at most size items out of a list, and returns the token
// of the next one, "" after the last. The list's name has its filters in it:
// no other list, and no other account or region, takes the token. After yields
// the items behind a position ("": all of them) in the list's order, each with
// its own position, which differ; an item that has gone meanwhile does not make
// a page skip others. An error of Page is answered as it is.
func Page[T any](c Caller, list string, after func(position string) iter.Seq2[string, T], token string, size int) (page []T, next string, err error) {
	list = strings.Join([]string{c.Account, c.Region, list}, "\x00")
	position := ""
	if token != "" {
		var ok bool
		if position, ok = c.pages.open(list, token); !ok {
			return nil, "", &tokenError{token}
		}
	}
	for at, item := range after(position) {
		if len(page) == size {
			return page, c.pages.seal(list, position), nil
		}
		if page == nil {
			page = make([]T, 0, size)
		}
		if len(at) > maxPosition {
			panic("restjson: a position in " + list + " that no token has room for")
		}
		page, position = append(page, item), at
	}
	return page, "", nil
}

// Sorted lets Page list items by their key, which must differ.
func Sorted[T any](items []T, key func(T) string) func(position string) iter.Seq2[string, T] {
	slices.SortFunc(items, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	return func(position string) iter.Seq2[string, T] {
		first := 0
		if position != "" {
			var found bool
			first, found = slices.BinarySearchFunc(items, position, func(item T, k string) int { return cmp.Compare(key(item), k) })
			if found {
				first++
			}
		}
		return func(yield func(string, T) bool) {
			for _, item := range items[first:] {
				if !yield(key(item), item) {
					return
				}
			}
		}
	}
}

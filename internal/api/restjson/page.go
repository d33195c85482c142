package restjson

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// Page cuts the page out of items that begins after the token and has at most
// size items. Items come in the order of their keys, which must differ; list
// names what is listed, so that no other list takes its tokens. The next token
// is "" on the last page. A page goes on at the right place even if the item
// it would begin after has gone.
func Page[T any](items []T, key func(T) string, list, token string, size int) (page []T, next string, err error) {
	slices.SortFunc(items, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	if token != "" {
		text, err := base64.URLEncoding.DecodeString(token)
		after, ok := strings.CutPrefix(string(text), list+"\n")
		if err != nil || !ok {
			return nil, "", fmt.Errorf("%q is no token of this list", token)
		}
		first, found := slices.BinarySearchFunc(items, after, func(item T, k string) int { return cmp.Compare(key(item), k) })
		if found {
			first++
		}
		items = items[first:]
	}
	if len(items) <= size {
		return items, "", nil
	}
	next = base64.URLEncoding.EncodeToString([]byte(list + "\n" + key(items[size-1])))
	return items[:size], next, nil
}

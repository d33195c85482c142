package access

import "strings"

// match holds text against a pattern in which * stands for any number of
// characters, none among them, and ? for one.
func match(pattern, text string) bool { return glob(pattern, text, func(c byte) byte { return c }) }

// matchFold is match for a pattern in lower case and text in any.
func matchFold(pattern, text string) bool { return glob(pattern, text, lower) }

// glob does the matching. On a mismatch only the last * takes one character
// more: if the text matches at all, it does with those before as short as they
// are. So it takes at most len(pattern) times len(text) steps.
func glob(pattern, text string, fold func(byte) byte) bool {
	star, from := -1, 0 // the last *, and where the text after what it takes begins
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == fold(text[t])):
			p++
			t++
		case star >= 0:
			from++
			p, t = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// all says whether every byte of s is one of those allowed.
func all(s string, allowed ...func(byte) bool) bool {
	for i := range len(s) {
		ok := false
		for _, f := range allowed {
			ok = ok || f(s[i])
		}
		if !ok {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool   { return '0' <= c && c <= '9' }
func isLetter(c byte) bool  { return 'a' <= lower(c) && lower(c) <= 'z' }
func isVisible(c byte) bool { return '!' <= c && c <= '~' }

func is(set string) func(byte) bool {
	return func(c byte) bool { return strings.IndexByte(set, c) >= 0 }
}

package chime

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// maxDictionary is how much of the previous text is a dictionary, in bytes:
// what the client's compressor takes of it.
const maxDictionary = 31744

// ErrInflated says that a compressed text is longer than it may be.
var ErrInflated = errors.New("compressed text is too long")

// plainWriters are writers without a dictionary, which weigh some 600 kB each.
var plainWriters = sync.Pool{New: func() any { return newWriter("") }}

// CompressSDP returns sdp as raw DEFLATE (RFC 1951). The reader must have the
// previous text, too; "" is none.
func CompressSDP(sdp, previous string) []byte {
	var out bytes.Buffer
	if previous == "" {
		w := plainWriters.Get().(*flate.Writer)
		defer plainWriters.Put(w)
		w.Reset(&out)
		deflate(w, sdp)
	} else {
		w := newWriter(previous)
		w.Reset(&out) // keeps the dictionary
		deflate(w, sdp)
	}
	return out.Bytes()
}

func newWriter(dictionary string) *flate.Writer {
	w, err := flate.NewWriterDict(io.Discard, flate.DefaultCompression, firstOf(dictionary))
	if err != nil {
		panic("chime: " + err.Error()) // of a level that does not exist
	}
	return w
}

// deflate writes to memory, which never fails.
func deflate(w *flate.Writer, text string) {
	if _, err := io.WriteString(w, text); err != nil {
		panic("chime: " + err.Error())
	}
	if err := w.Close(); err != nil {
		panic("chime: " + err.Error())
	}
}

// InflateSDP reads what CompressSDP wrote with the same previous text. It
// stops with ErrInflated when the text grows beyond limit bytes, however
// little it was made from.
func InflateSDP(compressed []byte, previous string, limit int) (string, error) {
	r := flate.NewReaderDict(bytes.NewReader(compressed), firstOf(previous))
	var text strings.Builder
	n, err := io.Copy(&text, io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return "", fmt.Errorf("inflate: %w", err)
	}
	if n > int64(limit) {
		return "", fmt.Errorf("%w: more than %d bytes", ErrInflated, limit)
	}
	return text.String(), nil
}

// firstOf returns what of a text is used as a dictionary.
func firstOf(text string) []byte { return []byte(text[:min(len(text), maxDictionary)]) }

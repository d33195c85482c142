package attendee

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
)

const (
	// maxSDP bounds what an answer may inflate to.
	maxSDP = 512 << 10
	// maxDictionary is how much of the last answer the next one refers to.
	maxDictionary = 31744
)

// deflate compresses an offer: raw DEFLATE without a dictionary.
func deflate(sdp string) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	if err != nil {
		return nil, fmt.Errorf("compress offer: %w", err)
	}
	if _, err = w.Write([]byte(sdp)); err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("compress offer: %w", err)
	}
	return b.Bytes(), nil
}

// inflate is the inverse for answers, which refer to the one before.
func inflate(b []byte, before string) (string, error) {
	r := flate.NewReaderDict(bytes.NewReader(b), []byte(before[:min(len(before), maxDictionary)]))
	sdp, err := io.ReadAll(io.LimitReader(r, maxSDP+1))
	if err != nil {
		return "", fmt.Errorf("inflate answer: %w", err)
	}
	if len(sdp) > maxSDP {
		return "", fmt.Errorf("answer inflates to more than %d bytes", maxSDP)
	}
	return string(sdp), nil
}

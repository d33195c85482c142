package packager

import "time"

// A Sample is one coded picture or one audio frame of a rendition.
//
// Data belongs to whoever made the sample: it may be read until the call that
// hands it over returns, and is overwritten after. Copy it to keep it.
type Sample struct {
	DTS, PTS time.Duration // publisher's clock; it need not begin at zero
	KeyFrame bool          // video only: decoding can begin here
	Data     []byte        // video: NAL units, each after its 4-byte length; audio: one raw AAC frame
}

package fmp4

// TrackID is the id of the one track of every segment.
const TrackID = 1

// A Track says what an initialization segment tells about its one track. Video
// or Audio is set, not both.
type Track struct {
	Timescale uint32 // ticks of a second, for all times of the fragments
	Video     *Video
	Audio     *Audio
}

// Video is an H.264 track.
type Video struct {
	Width, Height int    // pixels
	Config        []byte // AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1)
}

// Audio is an AAC track.
type Audio struct {
	SampleRate int // Hz
	Channels   int
	Config     []byte // AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1), under 64 bytes
	Bitrate    uint32 // bit/s, 0 when unknown
}

// Init returns the initialization segment of a track: ftyp and moov, without
// samples (ISO/IEC 14496-12, 8.1 and 8.2; CMAF header, ISO/IEC 23000-19, 7.3.1).
func Init(t Track) []byte {
	b, at := begin(make([]byte, 0, 1024), "ftyp")
	b = append(b, "iso6"...)
	b = u32(b, 0)
	b = append(b, "iso6cmfcmp41"...)
	b = end(b, at)

	b, moov := begin(b, "moov")
	b = mvhd(b, t)
	b, trak := begin(b, "trak")
	b = tkhd(b, t)
	b, mdia := begin(b, "mdia")
	b = mdhd(b, t)
	b = hdlr(b, t)
	b, minf := begin(b, "minf")
	if t.Video != nil {
		b, at = beginFull(b, "vmhd", 0, 1)
		b = zeros(b, 8) // copy mode, no colour
	} else {
		b, at = beginFull(b, "smhd", 0, 0)
		b = zeros(b, 4) // balance in the middle
	}
	b = end(b, at)
	b = dinf(b)
	b = stbl(b, t)
	b = end(b, minf)
	b = end(b, mdia)
	b = end(b, trak)
	b = mvex(b)
	return end(b, moov)
}

// unityMatrix leaves the picture as it is (16.16 and 2.30 fixed point).
var unityMatrix = [9]uint32{0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000}

func mvhd(b []byte, t Track) []byte {
	b, at := beginFull(b, "mvhd", 0, 0)
	b = zeros(b, 8) // created, modified: not said
	b = u32(b, t.Timescale)
	b = u32(b, 0)       // duration: in the fragments
	b = u32(b, 0x10000) // rate 1.0
	b = u16(b, 0x100)   // volume 1.0
	b = zeros(b, 10)
	for _, v := range unityMatrix {
		b = u32(b, v)
	}
	b = zeros(b, 24)
	b = u32(b, TrackID+1) // next track
	return end(b, at)
}

func tkhd(b []byte, t Track) []byte {
	const enabled, inMovie, inPreview = 1, 2, 4
	b, at := beginFull(b, "tkhd", 0, enabled|inMovie|inPreview)
	b = zeros(b, 8)
	b = u32(b, TrackID)
	b = zeros(b, 4+4+8) // reserved, duration, reserved
	b = zeros(b, 4)     // layer, alternate group
	if t.Audio != nil {
		b = u16(b, 0x100) // volume 1.0
	} else {
		b = u16(b, 0)
	}
	b = u16(b, 0)
	for _, v := range unityMatrix {
		b = u32(b, v)
	}
	if t.Video != nil {
		b = u32(b, uint32(t.Video.Width)<<16)
		b = u32(b, uint32(t.Video.Height)<<16)
	} else {
		b = zeros(b, 8)
	}
	return end(b, at)
}

func mdhd(b []byte, t Track) []byte {
	const undetermined = ('u'-0x60)<<10 | ('n'-0x60)<<5 | ('d' - 0x60) // ISO 639-2 "und"
	b, at := beginFull(b, "mdhd", 0, 0)
	b = zeros(b, 8)
	b = u32(b, t.Timescale)
	b = u32(b, 0)
	b = u16(b, undetermined)
	b = u16(b, 0)
	return end(b, at)
}

func hdlr(b []byte, t Track) []byte {
	b, at := beginFull(b, "hdlr", 0, 0)
	b = u32(b, 0)
	if t.Video != nil {
		b = append(b, "vide"...)
		b = zeros(b, 12)
		b = append(b, "video\x00"...)
	} else {
		b = append(b, "soun"...)
		b = zeros(b, 12)
		b = append(b, "audio\x00"...)
	}
	return end(b, at)
}

func dinf(b []byte) []byte {
	const sameFile = 1
	b, dinf := begin(b, "dinf")
	b, dref := beginFull(b, "dref", 0, 0)
	b = u32(b, 1)
	b, url := beginFull(b, "url ", 0, sameFile)
	b = end(b, url)
	b = end(b, dref)
	return end(b, dinf)
}

// stbl describes the samples; its tables are empty, the samples are in the
// fragments.
func stbl(b []byte, t Track) []byte {
	b, stbl := begin(b, "stbl")
	b, stsd := beginFull(b, "stsd", 0, 0)
	b = u32(b, 1)
	if t.Video != nil {
		b = avc1(b, *t.Video)
	} else {
		b = mp4a(b, *t.Audio)
	}
	b = end(b, stsd)
	for _, empty := range []struct {
		name   string
		fields int
	}{{"stts", 4}, {"stsc", 4}, {"stsz", 8}, {"stco", 4}} {
		var at int
		b, at = beginFull(b, empty.name, 0, 0)
		b = zeros(b, empty.fields)
		b = end(b, at)
	}
	return end(b, stbl)
}

// avc1 is a VisualSampleEntry (ISO/IEC 14496-12, 12.1.3) with an avcC.
func avc1(b []byte, v Video) []byte {
	b, at := begin(b, "avc1")
	b = zeros(b, 6)
	b = u16(b, 1) // data reference
	b = zeros(b, 16)
	b = u16(b, uint16(v.Width))
	b = u16(b, uint16(v.Height))
	b = u32(b, 72<<16) // dpi
	b = u32(b, 72<<16)
	b = u32(b, 0)
	b = u16(b, 1)       // pictures of a sample
	b = zeros(b, 32)    // compressor name
	b = u16(b, 24)      // depth: colour without alpha
	b = u16(b, 1<<16-1) // pre-defined: -1
	b, avcC := begin(b, "avcC")
	b = append(b, v.Config...)
	b = end(b, avcC)
	return end(b, at)
}

// mp4a is an AudioSampleEntry (ISO/IEC 14496-12, 12.2.3) with an esds
// (ISO/IEC 14496-14, 5.6).
func mp4a(b []byte, a Audio) []byte {
	b, at := begin(b, "mp4a")
	b = zeros(b, 6)
	b = u16(b, 1) // data reference
	b = zeros(b, 8)
	b = u16(b, uint16(a.Channels))
	b = u16(b, 16) // bits
	b = zeros(b, 4)
	// 16.16; rates that do not fit stand in the config alone.
	if a.SampleRate < 1<<16 {
		b = u32(b, uint32(a.SampleRate)<<16)
	} else {
		b = u32(b, 0)
	}
	b = esds(b, a)
	return end(b, at)
}

// esds holds the descriptors of ISO/IEC 14496-1, 7.2.6.5 to 7.2.6.8. Each is a
// tag, its length in one byte, and its fields.
func esds(b []byte, a Audio) []byte {
	const (
		esTag, configTag, specificTag, slTag = 3, 4, 5, 6

		aac         = 0x40
		audioStream = 5<<2 | 1
	)
	n := len(a.Config)
	b, at := beginFull(b, "esds", 0, 0)
	b = append(b, esTag, uint8(3+2+13+2+n+3))
	b = u16(b, TrackID)
	b = append(b, 0)
	b = append(b, configTag, uint8(13+2+n), aac, audioStream, 0, 0, 0)
	b = u32(b, a.Bitrate) // peak
	b = u32(b, a.Bitrate) // average
	b = append(b, specificTag, uint8(n))
	b = append(b, a.Config...)
	b = append(b, slTag, 1, 2)
	return end(b, at)
}

// mvex says that fragments follow.
func mvex(b []byte) []byte {
	b, mvex := begin(b, "mvex")
	b, trex := beginFull(b, "trex", 0, 0)
	b = u32(b, TrackID)
	b = u32(b, 1)     // sample description
	b = zeros(b, 4*3) // defaults: every fragment gives its own
	b = end(b, trex)
	return end(b, mvex)
}

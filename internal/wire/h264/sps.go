package h264

import (
	"errors"
	"fmt"
)

// Limits of what ParseSPS accepts.
const (
	MaxSPS       = 4096  // bytes of one parameter set
	MaxDimension = 16384 // pixels of an edge; level 6.2 ends near this
)

// An SPS holds the facts of a sequence parameter set that streaming needs
// (ISO/IEC 14496-10, 7.3.2.1.1).
type SPS struct {
	Profile     uint8 // profile_idc
	Constraints uint8 // constraint_set flags, as their byte
	Level       uint8 // level_idc, ten times the level
	ID          uint32

	Width, Height int // pixels shown, after cropping
	Interlaced    bool

	// Frame rate of the VUI, FrameRateNum/FrameRateDen in Hz; both zero when
	// it does not say.
	FrameRateNum, FrameRateDen uint32
	// FixedFrameRate is the VUI's promise that the rate never varies.
	FixedFrameRate bool
	// MaxReorder is max_num_reorder_frames, or -1 when the VUI does not say.
	MaxReorder int
}

// ParseSPS reads a sequence parameter set NAL unit, its header byte included.
func ParseSPS(nal []byte) (SPS, error) {
	if len(nal) < 4 {
		return SPS{}, fmt.Errorf("SPS has %d bytes, want 4 or more", len(nal))
	}
	if len(nal) > MaxSPS {
		return SPS{}, fmt.Errorf("SPS has %d bytes, limit %d", len(nal), MaxSPS)
	}
	if t := TypeOf(nal); t != TypeSPS {
		return SPS{}, fmt.Errorf("NAL unit has type %d, want %d (SPS)", t, TypeSPS)
	}
	s := SPS{Profile: nal[1], Constraints: nal[2], Level: nal[3], MaxReorder: -1}
	r := &bitReader{b: unescape(nal[4:])}
	if err := s.parse(r); err != nil {
		return SPS{}, fmt.Errorf("SPS: %w", err)
	}
	return s, nil
}

func (s *SPS) parse(r *bitReader) error {
	s.ID = r.ue()
	if s.ID > 31 {
		return fmt.Errorf("seq_parameter_set_id is %d, limit 31", s.ID)
	}
	chroma := uint32(1) // 4:2:0 unless said otherwise
	separatePlanes := false
	if hasChromaInfo(s.Profile) {
		if chroma = r.ue(); chroma > 3 {
			return fmt.Errorf("chroma_format_idc is %d, limit 3", chroma)
		}
		if chroma == 3 {
			separatePlanes = r.flag()
		}
		r.ue()   // bit_depth_luma_minus8
		r.ue()   // bit_depth_chroma_minus8
		r.flag() // qpprime_y_zero_transform_bypass_flag
		if r.flag() {
			skipScalingLists(r, chroma)
		}
	}
	r.ue() // log2_max_frame_num_minus4
	switch r.ue() {
	case 0:
		r.ue() // log2_max_pic_order_cnt_lsb_minus4
	case 1:
		r.flag()
		r.se()
		r.se()
		n := r.ue()
		if n > 255 {
			return fmt.Errorf("num_ref_frames_in_pic_order_cnt_cycle is %d, limit 255", n)
		}
		for range n {
			r.se()
		}
	}
	r.ue()   // max_num_ref_frames
	r.flag() // gaps_in_frame_num_value_allowed_flag

	widthMBs, heightUnits := uint64(r.ue())+1, uint64(r.ue())+1
	framesOnly := r.flag()
	s.Interlaced = !framesOnly
	fields := uint64(1)
	if !framesOnly {
		fields = 2
		r.flag() // mb_adaptive_frame_field_flag
	}
	r.flag() // direct_8x8_inference_flag
	width, height := 16*widthMBs, 16*heightUnits*fields
	if width > MaxDimension || height > MaxDimension {
		return fmt.Errorf("picture is %dx%d, limit %d", width, height, MaxDimension)
	}
	if r.flag() {
		left, right, top, bottom := uint64(r.ue()), uint64(r.ue()), uint64(r.ue()), uint64(r.ue())
		unitX, unitY := cropUnits(chroma, separatePlanes, fields)
		cropX, cropY := unitX*(left+right), unitY*(top+bottom)
		if cropX >= width || cropY >= height {
			return fmt.Errorf("cropping %dx%d leaves nothing of %dx%d", cropX, cropY, width, height)
		}
		width -= cropX
		height -= cropY
	}
	s.Width, s.Height = int(width), int(height)

	if r.flag() && r.err == nil {
		s.parseVUI(r)
	}
	return r.err
}

// parseVUI reads Annex E's parameters. Encoders are known to cut them short,
// and the picture can be decoded without them: what is missing stays unknown.
func (s *SPS) parseVUI(r *bitReader) {
	defer func() {
		if errors.Is(r.err, errShort) {
			r.err = nil
		}
	}()
	if r.flag() && r.bits(8) == 255 { // aspect_ratio_idc: Extended_SAR
		r.skip(32)
	}
	if r.flag() { // overscan_info_present_flag
		r.skip(1)
	}
	if r.flag() { // video_signal_type_present_flag
		r.skip(4)
		if r.flag() {
			r.skip(24)
		}
	}
	if r.flag() { // chroma_loc_info_present_flag
		r.ue()
		r.ue()
	}
	if r.flag() { // timing_info_present_flag
		unit, scale, fixed := r.bits(32), r.bits(32), r.flag()
		// A tick is a field's time: a frame takes two.
		if r.err == nil && unit > 0 && scale > 0 && unit < 1<<31 {
			s.FrameRateNum, s.FrameRateDen = reduce(scale, 2*unit)
			s.FixedFrameRate = fixed
		}
	}
	nalHRD := r.flag()
	if nalHRD {
		skipHRD(r)
	}
	vclHRD := r.flag()
	if vclHRD {
		skipHRD(r)
	}
	if nalHRD || vclHRD {
		r.skip(1) // low_delay_hrd_flag
	}
	r.skip(1)     // pic_struct_present_flag
	if r.flag() { // bitstream_restriction_flag
		r.skip(1)
		r.ue() // max_bytes_per_pic_denom
		r.ue() // max_bits_per_mb_denom
		r.ue() // log2_max_mv_length_horizontal
		r.ue() // log2_max_mv_length_vertical
		if n := r.ue(); r.err == nil && n <= 16 {
			s.MaxReorder = int(n)
		}
	}
}

// hasChromaInfo tells the profiles whose SPS carries chroma_format_idc.
func hasChromaInfo(profile uint8) bool {
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		return true
	}
	return false
}

// cropUnits are CropUnitX and CropUnitY (7.4.2.1.1).
func cropUnits(chroma uint32, separatePlanes bool, fields uint64) (x, y uint64) {
	switch {
	case separatePlanes || chroma == 0 || chroma == 3:
		return 1, fields
	case chroma == 1:
		return 2, 2 * fields
	default:
		return 2, fields
	}
}

func skipScalingLists(r *bitReader, chroma uint32) {
	lists := 8
	if chroma == 3 {
		lists = 12
	}
	for i := range lists {
		if !r.flag() {
			continue
		}
		size := 16
		if i >= 6 {
			size = 64
		}
		last, next := int32(8), int32(8)
		for range size {
			if next != 0 {
				next = (last + r.se()) & 0xff
			}
			if next != 0 {
				last = next
			}
		}
	}
}

func skipHRD(r *bitReader) {
	n := r.ue()
	if n > 31 {
		r.fail(fmt.Errorf("cpb_cnt_minus1 is %d, limit 31", n))
		return
	}
	r.skip(8)
	for range n + 1 {
		r.ue()
		r.ue()
		r.skip(1)
	}
	r.skip(20)
}

// reduce divides both by their greatest common divisor.
func reduce(num, den uint32) (uint32, uint32) {
	a, b := num, den
	for b != 0 {
		a, b = b, a%b
	}
	return num / a, den / a
}

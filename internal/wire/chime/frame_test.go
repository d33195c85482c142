package chime

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
)

func ptr[T any](v T) *T { return &v }

// frames are messages and their bytes as the field numbers and types of the
// protocol have them, written by hand.
var frames = []struct {
	name  string
	frame *Frame
	raw   string
}{
	{
		"ping",
		&Frame{TimestampMs: ptr(uint64(1000)), Type: Frame_PING_PONG.Enum(), PingPong: &PingPongFrame{Type: PingPongType_PING.Enum(), PingId: ptr(uint32(1))}},
		"05 08e807 1013 a20104 0801 1001",
	},
	{
		"empty index",
		&Frame{TimestampMs: ptr(uint64(1)), Type: Frame_INDEX.Enum(), Index: &IndexFrame{AtCapacity: ptr(false), NumParticipants: ptr(uint32(1))}},
		"05 0801 1005 4204 0800 2001",
	},
	{
		"a leave has no muted, a mute has",
		&Frame{TimestampMs: ptr(uint64(1)), Type: Frame_AUDIO_STREAM_ID_INFO.Enum(), AudioStreamIdInfo: &AudioStreamIdInfoFrame{Streams: []*AudioStreamIdInfo{
			{AudioStreamId: ptr(uint32(3)), Dropped: ptr(true)},
			{AudioStreamId: ptr(uint32(4)), Muted: ptr(false)},
		}}},
		"05 0801 1012 9a010c 0a04 0803 2801 0a04 0804 1800",
	},
	{
		"answer",
		&Frame{TimestampMs: ptr(uint64(1)), Type: Frame_SUBSCRIBE_ACK.Enum(), Suback: &SubscribeAckFrame{
			Duplex: StreamServiceType_DUPLEX.Enum(), SdpAnswer: ptr("v=0"),
			Allocations: []*StreamAllocation{{TrackLabel: ptr(""), StreamId: ptr(uint32(5)), GroupId: ptr(uint32(6))}},
			Tracks:      []*TrackMapping{{StreamId: ptr(uint32(7)), Ssrc: ptr(uint32(8)), TrackLabel: ptr("v_2")}},
		}},
		"05 0801 1004 3a1a 0803 1206 0a00 1005 1806 1a03 763d30 2209 0807 1008 1a03 765f32",
	},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAppend(t *testing.T) {
	for _, c := range frames {
		if got, want := Append([]byte("x"), c.frame), append([]byte("x"), unhex(t, c.raw)...); !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, want %x", c.name, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range frames {
		raw := unhex(t, c.raw)
		for _, kind := range []byte{kindFrame, kindFrameOld} {
			raw[0] = kind
			got, err := Parse(raw)
			if err != nil {
				t.Errorf("%s: got %v, want no error", c.name, err)
			} else if !proto.Equal(got, c.frame) {
				t.Errorf("%s: got %v, want %v", c.name, got, c.frame)
			}
		}
	}
}

// What later clients add must not disturb.
func TestParseUnknown(t *testing.T) {
	raw := unhex(t, "05 0801 1063 9a3e03 666f6f")
	f, err := Parse(raw)
	if err != nil {
		t.Fatalf("got %v, want no error", err)
	}
	if got, want := f.GetType(), Frame_Type(99); got != want {
		t.Errorf("type: got %v, want %v", got, want)
	}
	if got := f.ProtoReflect().GetUnknown(); len(got) != 0 {
		t.Errorf("unknown fields kept: got %x, want none", got)
	}
	if got := f.GetPingPong().GetPingId(); got != 0 {
		t.Errorf("ping id of a frame without one: got %d, want 0", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		raw  []byte
		want error // nil: any
	}{
		{"nothing", nil, ErrKind},
		{"text", []byte("{}"), ErrKind},
		{"no type byte", unhex(t, "0801 1013"), ErrKind},
		{"too large", make([]byte, MaxFrame+1), ErrTooLarge},
		{"no timestamp", unhex(t, "05 1005"), nil},
		{"no type", unhex(t, "05 0801"), nil},
		{"ping without id", unhex(t, "05 0801 1013 a20102 0801"), nil},
		{"cut short", unhex(t, "05 0801 1013 a20104 08"), nil},
	} {
		_, err := Parse(c.raw)
		if err == nil {
			t.Errorf("%s: got no error, want one", c.name)
		} else if c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestNewStampsTime(t *testing.T) {
	f := New(Frame_LEAVE, time.UnixMilli(1700000000123))
	f.Leave = &LeaveFrame{}
	if got, want := f.GetTimestampMs(), uint64(1700000000123); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	if got, want := Append(nil, f), unhex(t, "05 08fbd095ffbc31 1009 5a00"); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range frames {
		f.Add(unhex(f, c.raw))
	}
	f.Add(unhex(f, "05 0801 1063 9a3e03 666f6f"))
	f.Add(unhex(f, "05 0801 1013 a20102 0801"))
	f.Add(unhex(f, "02 0801 1018 ca010a 0a050a0132180712 0133"))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(Append(nil, frame))
		if err != nil {
			t.Fatalf("our own bytes: got %v, want no error", err)
		}
		// NaN metrics are not Equal to themselves: compare bytes.
		if x, y := Append(nil, frame), Append(nil, again); !bytes.Equal(x, y) {
			t.Fatalf("second round: got %x, want %x", y, x)
		}
	})
}

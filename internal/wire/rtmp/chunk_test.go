package rtmp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// chunkCases are messages and their chunks, as Writers make them.
var chunkCases = []struct {
	name      string
	chunkSize int
	messages  []Message
	raw       string // hex
}{
	{
		"one chunk", 128,
		[]Message{{TypeAudio, 4, 1, 1000, []byte{0xaf, 1, 0x21}}},
		"04 0003e8 000003 08 01000000 af0121",
	},
	{
		"headers shrink", 128,
		[]Message{
			{TypeAudio, 4, 1, 1000, []byte{1, 2}},
			{TypeAudio, 4, 1, 1021, []byte{3}},
			{TypeAudio, 4, 1, 1042, []byte{4}},
			{TypeAudio, 4, 1, 1063, []byte{5}}, // no type 3: see Writer
		},
		"04 0003e8 000002 08 01000000 0102" + "44 000015 000001 08 03" + "84 000015 04" + "84 000015 05",
	},
	{
		"time goes back", 128,
		[]Message{{TypeVideo, 6, 1, 1000, []byte{1}}, {TypeVideo, 6, 1, 960, []byte{2}}},
		"06 0003e8 000001 09 01000000 01" + "06 0003c0 000001 09 01000000 02",
	},
	{
		"another message stream", 128,
		[]Message{{TypeVideo, 6, 1, 0, []byte{1}}, {TypeVideo, 6, 2, 0, []byte{2}}},
		"06 000000 000001 09 01000000 01" + "06 000000 000001 09 02000000 02",
	},
	{
		"three chunks", 2,
		[]Message{{TypeVideo, 6, 1, 0, []byte{1, 2, 3, 4, 5}}},
		"06 000000 000005 09 01000000 0102" + "c6 0304" + "c6 05",
	},
	{
		"exactly two chunks", 2,
		[]Message{{TypeVideo, 6, 1, 0, []byte{1, 2, 3, 4}}},
		"06 000000 000004 09 01000000 0102" + "c6 0304",
	},
	{
		"empty", 128,
		[]Message{{TypeVideo, 6, 1, 0, []byte{}}},
		"06 000000 000000 09 01000000",
	},
	{
		"last time of 24 bits", 128,
		[]Message{{TypeVideo, 6, 1, 0xfffffe, []byte{1}}},
		"06 fffffe 000001 09 01000000 01",
	},
	{
		"extended time", 2,
		[]Message{{TypeVideo, 6, 1, 0xffffff, []byte{1, 2, 3}}, {TypeVideo, 6, 1, 0x1000009, []byte{4, 5, 6}}},
		"06 ffffff 000003 09 01000000 00ffffff 0102" + "c6 00ffffff 03" + "86 00000a 0405" + "c6 06",
	},
	{
		"extended delta", 2,
		[]Message{{TypeVideo, 6, 1, 5, []byte{1}}, {TypeVideo, 6, 1, 0x2000005, []byte{2, 3, 4}}},
		"06 000005 000001 09 01000000 01" + "46 ffffff 000003 09 02000000 0203" + "c6 02000000 04",
	},
	{
		"over the wrap", 128,
		[]Message{{TypeVideo, 6, 1, 0xfffffff0, []byte{1}}, {TypeVideo, 6, 1, 0x18, []byte{2}}},
		"06 ffffff 000001 09 01000000 fffffff0 01" + "86 000028 02",
	},
}

func TestWriter(t *testing.T) {
	for _, c := range chunkCases {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			w := NewWriter(&b)
			w.chunkSize = c.chunkSize
			for _, m := range c.messages {
				if err := w.WriteMessage(m); err != nil {
					t.Fatal(err)
				}
			}
			if want := unhex(t, c.raw); !bytes.Equal(b.Bytes(), want) {
				t.Errorf("got %x, want %x", b.Bytes(), want)
			}
		})
	}
}

func TestReader(t *testing.T) {
	for _, c := range chunkCases {
		t.Run(c.name, func(t *testing.T) { readAll(t, unhex(t, c.raw), c.chunkSize, c.messages) })
	}
}

// readAll reads raw in one piece and byte by byte, and cut at every place.
func readAll(t *testing.T, raw []byte, chunkSize int, want []Message) {
	t.Helper()
	for _, in := range []io.Reader{bytes.NewReader(raw), iotest.OneByteReader(bytes.NewReader(raw))} {
		r := NewReader(in)
		r.chunkSize = chunkSize
		for i, m := range want {
			got, err := r.ReadMessage()
			if err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
			if !reflect.DeepEqual(got, m) && (len(got.Payload) > 0 || len(m.Payload) > 0) {
				t.Errorf("message %d: got %+v, want %+v", i, got, m)
			}
		}
		if m, err := r.ReadMessage(); err != io.EOF {
			t.Errorf("at the end: got %+v, error %v, want EOF", m, err)
		}
		if r.pending != 0 || r.Received() != uint64(len(raw)) {
			t.Errorf("at the end: %d bytes pending, %d received, want 0, %d", r.pending, r.Received(), len(raw))
		}
	}
	for n := range raw {
		r := NewReader(bytes.NewReader(raw[:n]))
		r.chunkSize = chunkSize
		for {
			_, err := r.ReadMessage()
			if err == nil {
				continue
			}
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !bytes.Contains(raw[:n], []byte{0xff, 0xff, 0xff}) {
				// A cut extended timestamp may look like one that is not there.
				t.Errorf("first %d of %d bytes: %v", n, len(raw), err)
			}
			break
		}
	}
}

// TestReaderOnly has chunks that we read and never write.
func TestReaderOnly(t *testing.T) {
	for _, c := range []struct {
		name string
		raw  string
		want []Message
	}{
		{
			"type 3 begins a message with the same delta",
			"04 0003e8 000001 08 01000000 01" + "84 000015 02" + "c4 03",
			[]Message{{8, 4, 1, 1000, []byte{1}}, {8, 4, 1, 1021, []byte{2}}, {8, 4, 1, 1042, []byte{3}}},
		},
		{
			"type 3 after type 0: the time is the delta",
			"04 000017 000001 08 01000000 01" + "c4 02",
			[]Message{{8, 4, 1, 23, []byte{1}}, {8, 4, 1, 46, []byte{2}}},
		},
		{
			"type 1 begins the chunk stream",
			"44 000017 000001 08 01",
			[]Message{{8, 4, 0, 23, []byte{1}}},
		},
		{
			"interleaved",
			"02 000000 000004 01 00000000 00000002" + // chunks of 2
				"06 000000 000004 09 01000000 0102" + "04 000000 000003 08 01000000 0a0b" + "c6 0304" + "c4 0c",
			[]Message{{9, 6, 1, 0, []byte{1, 2, 3, 4}}, {8, 4, 1, 0, []byte{10, 11, 12}}},
		},
		{
			"abort",
			"02 000000 000004 01 00000000 00000002" +
				"06 000000 000004 09 01000000 0102" + "02 000000 000004 02 00000000 0000" + "c2 0006" + "06 000000 000001 09 01000000 07",
			[]Message{{9, 6, 1, 0, []byte{7}}},
		},
		{
			"abort of nothing",
			"02 000000 000004 02 00000000 00000063" + "06 000000 000001 09 01000000 07",
			[]Message{{9, 6, 1, 0, []byte{7}}},
		},
		{
			"chunk streams of two and three bytes",
			"00 00 000000 000001 08 01000000 01" + "00 ff 000000 000001 08 01000000 02" + "01 ffff 000000 000001 08 01000000 03",
			[]Message{{8, 64, 1, 0, []byte{1}}, {8, 319, 1, 0, []byte{2}}, {8, 65599, 1, 0, []byte{3}}},
		},
		{
			"type 3 without the extended time",
			"02 000000 000004 01 00000000 00000002" +
				"06 ffffff 000006 09 01000000 01020304 0102" + "c6 0304" + "c6 0506",
			[]Message{{9, 6, 1, 0x01020304, []byte{1, 2, 3, 4, 5, 6}}},
		},
		{
			"type 3 without the extended time, at the very end",
			"02 000000 000004 01 00000000 00000002" + "06 ffffff 000003 09 01000000 01020304 0102" + "c6 03",
			[]Message{{9, 6, 1, 0x01020304, []byte{1, 2, 3}}},
		},
		{
			"chunk size beyond any message",
			"02 000000 000004 01 00000000 7fffffff" + "06 000000 000001 09 01000000 07",
			[]Message{{9, 6, 1, 0, []byte{7}}},
		},
	} {
		t.Run(c.name, func(t *testing.T) { readAll(t, unhex(t, c.raw), defaultChunkSize, c.want) })
	}
}

func TestReaderErrors(t *testing.T) {
	streams := ""
	for i := range MaxChunkStreams + 1 {
		streams += fmt.Sprintf("00 %02x 000000 000000 08 01000000", i)
	}
	for _, c := range []struct{ name, raw, want string }{
		{"type 3 first", "c4", "begins with a chunk of type 3"},
		{"type 2 first", "84 000000", "begins with a chunk of type 2"},
		{"header in a message", "06 000000 000081 09 01000000" + strings.Repeat("00", 128) + "46 000000 000001 09 00", "in the middle of a message"},
		{"chunk size 0", "02 000000 000004 01 00000000 00000000", "chunk size 0"},
		{"chunk size negative", "02 000000 000004 01 00000000 80000000", "chunk size 2147483648"},
		{"chunk size cut", "02 000000 000002 01 00000000 0000", "2 bytes"},
		{"long chunk size message", "02 000000 000005 01 00000000 0000000000", "limit 4"},
		{"abort cut", "02 000000 000001 02 00000000 00", "1 bytes"},
		{"message too long", "06 000000 800001 09 01000000", "says 8388609 bytes, limit 8388608"},
		{"too many chunk streams", streams, "more than 64 chunk streams"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := NewReader(bytes.NewReader(unhex(t, c.raw)))
			var err error
			for err == nil {
				_, err = r.ReadMessage()
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if _, again := r.ReadMessage(); again != err {
				t.Errorf("next call: got %v, want the same error", again)
			}
		})
	}
}

// TestReaderMemory leaves ten messages unfinished that have a MiB of bytes
// each.
func TestReaderMemory(t *testing.T) {
	r := NewReader(nil)
	r.chunkSize = 1 << 20
	for id := range 10 {
		head := []byte{0, uint8(id), 0, 0, 0, 0x60, 0, 0, 9, 1, 0, 0, 0}
		r.r.Reset(io.MultiReader(bytes.NewReader(head), zeros{}))
		if _, err := r.readChunk(); err != nil {
			if id != 8 || !strings.Contains(err.Error(), "unfinished") {
				t.Errorf("message %d: got %v, want the ninth MiB refused", id, err)
			}
			return
		}
	}
	t.Error("ten MiB of unfinished messages: got no error")
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestSetLimit(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	for range 2 {
		if err := w.WriteMessage(Message{Type: TypeVideo, Chunk: 6, Payload: make([]byte, 1001)}); err != nil {
			t.Fatal(err)
		}
	}
	r := NewReader(&b)
	if _, err := r.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	r.SetLimit(1000)
	if _, err := r.ReadMessage(); err == nil || !strings.Contains(err.Error(), "limit 1000") {
		t.Errorf("got %v, want an error with the limit", err)
	}
}

func TestWriterFails(t *testing.T) {
	broken := errors.New("broken")
	calls := 0
	w := NewWriter(writerFunc(func([]byte) (int, error) { calls++; return 0, broken }))
	for range 3 {
		if err := w.WriteMessage(Acknowledgement(1)); err != broken {
			t.Errorf("got %v, want %v", err, broken)
		}
	}
	if calls != 1 {
		t.Errorf("got %d writes, want none after the first failed", calls)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestLongRun carries audio and video of 60 days over both wraps: that of 24
// bits after 4.7 hours and that of 32 bits after 49.7 days. Time passes in
// steps of 33 ms now and then, else of an hour.
func TestLongRun(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	r := NewReader(&b)
	if err := w.SetChunkSize(WriteChunkSize); err != nil {
		t.Fatal(err)
	}
	var clock Clock
	var at int64 // milliseconds
	payload := make([]byte, 3*WriteChunkSize)
	random := rand.New(rand.NewPCG(1, 2))
	wraps24, wraps32 := 0, 0
	for last := int64(0); at < 60*24*3600*1000; last = at {
		if at += 33; random.IntN(10) == 0 {
			at += 3600 * 1000
		}
		if at>>24 != last>>24 {
			wraps24++
		}
		if at>>32 != last>>32 {
			wraps32++
		}
		for _, m := range []Message{
			{Type: TypeVideo, Chunk: ChunkVideo, Stream: 1, Time: uint32(at), Payload: payload[:random.IntN(len(payload))]},
			{Type: TypeAudio, Chunk: ChunkAudio, Stream: 1, Time: uint32(at - 5), Payload: payload[:random.IntN(700)]},
		} {
			if err := w.WriteMessage(m); err != nil {
				t.Fatal(err)
			}
			got, err := r.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			if got.Time != m.Time || got.Type != m.Type || len(got.Payload) != len(m.Payload) {
				t.Fatalf("at %d ms: got type %d at %d with %d bytes, want %d at %d with %d",
					at, got.Type, got.Time, len(got.Payload), m.Type, m.Time, len(m.Payload))
			}
			want := at
			if m.Type == TypeAudio {
				want -= 5
			}
			if got := clock.At(got.Time).Milliseconds(); got != want {
				t.Fatalf("clock: got %d ms, want %d", got, want)
			}
		}
	}
	if wraps24 < 100 || wraps32 != 1 {
		t.Errorf("passed %d wraps of 24 bits and %d of 32, want over 100 and 1", wraps24, wraps32)
	}
}

func TestNoAllocation(t *testing.T) {
	var b bytes.Buffer
	w, r := NewWriter(&b), NewReader(&b)
	m := Message{Type: TypeVideo, Chunk: ChunkVideo, Stream: 1, Payload: make([]byte, 20_000)}
	if n := testing.AllocsPerRun(100, func() {
		m.Time += 33
		if err := w.WriteMessage(m); err != nil {
			t.Fatal(err)
		}
		if _, err := r.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a message costs %v allocations, want 0", n)
	}
}

// FuzzReader reads anything, and reads what it understood again after writing
// it.
func FuzzReader(f *testing.F) {
	for _, c := range chunkCases {
		size := binary.BigEndian.AppendUint32(unhex(f, "02 000000 000004 01 00000000"), uint32(c.chunkSize))
		f.Add(append(size, unhex(f, c.raw)...))
	}
	f.Add(unhex(f, "02 000000 000004 01 00000000 00000002 06 000000 000004 09 01000000 0102 04 000000 000003 08 01000000 0a0b c6 0304 c4 0c"))
	f.Add(unhex(f, "01 ffff 000000 000001 08 01000000 03"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bytes.NewReader(b))
		var out bytes.Buffer
		w := NewWriter(&out)
		var want []Message
		for {
			m, err := r.ReadMessage()
			if err != nil {
				break
			}
			m.Payload = bytes.Clone(m.Payload)
			m.Chunk = 2 + m.Chunk%62
			if m.Type == TypeCommandAMF0 || m.Type == TypeCommandAMF3 {
				if c, err := ParseCommand(m); err == nil {
					ParseStatus(c)
				}
			}
			ParseData(m)
			want = append(want, m)
			if err := w.WriteMessage(m); err != nil {
				t.Fatal(err)
			}
		}
		if r.pending < 0 || r.pending > MaxMessage {
			t.Errorf("%d bytes pending", r.pending)
		}
		again := NewReader(&out)
		for i, m := range want {
			got, err := again.ReadMessage()
			if err != nil {
				t.Fatalf("message %d of %d: %v", i, len(want), err)
			}
			if !bytes.Equal(got.Payload, m.Payload) || got.Time != m.Time || got.Type != m.Type || got.Stream != m.Stream {
				t.Errorf("message %d: got %+v, want %+v", i, got, m)
			}
		}
	})
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

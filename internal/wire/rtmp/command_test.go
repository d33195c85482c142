package rtmp

import (
	"bytes"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"belfry.live/belfry/internal/wire/amf0"
)

var commandCases = []struct {
	name    string
	command Command
	raw     string // hex
}{
	{
		"connect",
		Command{Name: "connect", Transaction: 1, Object: amf0.Object{{Key: "app", Value: "live"}}},
		"02 0007 636f6e6e656374 00 3ff0000000000000 03 0003 617070 02 0004 6c697665 0000 09",
	},
	{
		"publish",
		Command{Name: "publish", Transaction: 5, Args: []amf0.Value{"k", "live"}},
		"02 0007 7075626c697368 00 4014000000000000 05 02 0001 6b 02 0004 6c697665",
	},
}

func TestCommand(t *testing.T) {
	for _, c := range commandCases {
		t.Run(c.name, func(t *testing.T) {
			raw := unhex(t, c.raw)
			m := c.command.Message(1)
			if !bytes.Equal(m.Payload, raw) || m.Type != TypeCommandAMF0 || m.Stream != 1 {
				t.Errorf("message: got %+v, want payload %x", m, raw)
			}
			for _, m := range []Message{m, {Type: TypeCommandAMF3, Payload: append([]byte{0}, raw...)}} {
				got, err := ParseCommand(m)
				if err != nil || !reflect.DeepEqual(normal(got), normal(c.command)) {
					t.Errorf("parse of type %d: got %+v, error %v, want %+v", m.Type, got, err, c.command)
				}
			}
		})
	}
}

func normal(c Command) Command {
	if len(c.Args) == 0 {
		c.Args = nil
	}
	return c
}

func TestCommandErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		m    Message
		want string
	}{
		{"empty", Message{Type: TypeCommandAMF0}, "empty"},
		{"no name", Message{Type: TypeCommandAMF0, Payload: []byte{5}}, "no name"},
		{"no transaction", Message{Type: TypeCommandAMF0, Payload: amf0.Append(nil, "x", "y")}, "no transaction"},
		{"AMF3", Message{Type: TypeCommandAMF3, Payload: []byte{0x11}}, "AMF3"},
		{"AMF3, empty", Message{Type: TypeCommandAMF3}, "AMF3"},
		{"cut", Message{Type: TypeCommandAMF0, Payload: []byte{2, 0}}, "ends too early"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := ParseCommand(c.m); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, error %v, want an error with %q", got, err, c.want)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	want := Status{LevelError, CodePublishBadName, "no"}
	got, err := ParseCommand(want.OnStatus().Message(1))
	if err != nil || ParseStatus(got) != want {
		t.Errorf("got %+v, error %v, want %+v", ParseStatus(got), err, want)
	}
	// Some servers put it in the command object's place.
	if got := ParseStatus(Command{Name: "_error", Object: want.Value()}); got != want {
		t.Errorf("command object: got %+v, want %+v", got, want)
	}
	if got := ParseStatus(Command{Name: "_result", Args: []amf0.Value{1.0}}); got != (Status{}) {
		t.Errorf("no status: got %+v, want none", got)
	}
}

func TestData(t *testing.T) {
	for _, m := range []Message{
		{Type: TypeDataAMF0, Payload: amf0.Append(nil, "@setDataFrame", "onMetaData", amf0.ECMAArray{})},
		{Type: TypeDataAMF0, Payload: amf0.Append(nil, "onMetaData", amf0.ECMAArray{})},
		{Type: TypeDataAMF3, Payload: append([]byte{0}, amf0.Append(nil, "onMetaData", amf0.ECMAArray{})...)},
	} {
		name, values, err := ParseData(m)
		if err != nil || name != "onMetaData" || len(values) != 1 {
			t.Errorf("%x: got %q, %d values, error %v, want onMetaData and one", m.Payload, name, len(values), err)
		}
	}
	for _, v := range [][]amf0.Value{nil, {"@setDataFrame"}, {1.0}, {amf0.Object{}}} {
		if name, _, err := ParseData(Message{Type: TypeDataAMF0, Payload: amf0.Append(nil, v...)}); err == nil {
			t.Errorf("%v: got %q, want an error", v, name)
		}
	}
}

func TestControl(t *testing.T) {
	for _, c := range []struct {
		name string
		m    Message
		typ  uint8
		raw  string
	}{
		{"acknowledgement", Acknowledgement(0xfffefdfc), 3, "fffefdfc"},
		{"window", WindowAckSize(2_500_000), 5, "002625a0"},
		{"bandwidth", SetPeerBandwidth(2_500_000), 6, "002625a0 02"},
		{"stream begin", UserControl(EventStreamBegin, 1), 4, "0000 00000001"},
		{"pong", UserControl(EventPingResponse, 258), 4, "0007 00000102"},
	} {
		if c.m.Type != c.typ || !bytes.Equal(c.m.Payload, unhex(t, c.raw)) || c.m.Chunk != 2 || c.m.Stream != 0 {
			t.Errorf("%s: got %+v, want type %d, %s on chunk stream 2", c.name, c.m, c.typ, c.raw)
		}
	}
	if event, value, err := ParseUserControl(UserControl(EventPingRequest, 7)); event != EventPingRequest || value != 7 || err != nil {
		t.Errorf("user control: got %d, %d, %v", event, value, err)
	}
	if _, _, err := ParseUserControl(Message{Payload: []byte{0}}); err == nil {
		t.Error("user control of one byte: got no error")
	}
	if _, err := ParseUint32(Message{Payload: []byte{0, 0, 0}}); err == nil {
		t.Error("number of three bytes: got no error")
	}
}

func TestHandshake(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for _, c := range []net.Conn{client, server} {
		c.SetDeadline(time.Now().Add(10 * time.Second))
	}
	done := make(chan error, 1)
	go func() { done <- ServerHandshake(server) }()
	if err := ClientHandshake(client); err != nil {
		t.Errorf("client: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("server: %v", err)
	}
	// Nothing is left over on either side.
	for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
		if err := NewWriter(pair[0]).WriteMessage(Acknowledgement(1)); err != nil {
			t.Fatal(err)
		}
		if m, err := NewReader(pair[1]).ReadMessage(); err != nil || m.Type != TypeAcknowledgement {
			t.Errorf("first message: got %+v, error %v, want an acknowledgement", m, err)
		}
	}
}

func TestHandshakeVersion(t *testing.T) {
	for _, version := range []byte{6, 'G', 0} { // RTMPE, HTTP, nothing
		var out bytes.Buffer
		err := ServerHandshake(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(append([]byte{version}, make([]byte, 4000)...)), &out})
		if err == nil || !strings.Contains(err.Error(), "version") || out.Len() > 0 {
			t.Errorf("version %d: got %v and %d bytes, want an error and none", version, err, out.Len())
		}
	}
}

func TestClock(t *testing.T) {
	var c Clock
	for _, step := range []struct {
		at   uint32
		want time.Duration // milliseconds
	}{
		{100, 100},
		{140, 140},
		{120, 120},
		{0x7fffffff, 0x7fffffff},
		{0xfffffff0, 0xfffffff0},
		{0x10, 0x100000010},
		{0xffffffff, 0xffffffff},
		{0x20, 0x100000020},
	} {
		if got := c.At(step.at); got != step.want*time.Millisecond {
			t.Errorf("%#x: got %v, want %v", step.at, got, step.want*time.Millisecond)
		}
	}
	c = Clock{}
	c.At(5)
	if got := c.At(0xffffffff); got != 0 {
		t.Errorf("before zero: got %v, want 0", got)
	}
	for _, d := range []time.Duration{0, time.Millisecond, 60 * 24 * time.Hour} {
		if got, want := Timestamp(d), uint32(uint64(d.Milliseconds())); got != want {
			t.Errorf("Timestamp(%v): got %d, want %d", d, got, want)
		}
	}
	if got := Timestamp(-time.Second); got != 0 {
		t.Errorf("Timestamp(-1s): got %d, want 0", got)
	}
}

package rtmp

import (
	"errors"
	"fmt"

	"belfry.live/belfry/internal/wire/amf0"
)

// Codes of status answers (sections 7.2.1.1 and 7.2.2.6, and what servers and
// encoders have added to them).
const (
	CodeConnectSuccess  = "NetConnection.Connect.Success"
	CodeConnectRejected = "NetConnection.Connect.Rejected"
	CodeCallFailed      = "NetConnection.Call.Failed"
	CodePublishStart    = "NetStream.Publish.Start"
	CodePublishBadName  = "NetStream.Publish.BadName"
	CodePublishDenied   = "NetStream.Publish.Denied"
	CodePublishRejected = "NetStream.Publish.Rejected"
	CodeUnpublish       = "NetStream.Unpublish.Success"
	CodeStreamFailed    = "NetStream.Failed"
	CodePlayFailed      = "NetStream.Play.Failed"
)

// Levels of status answers.
const (
	LevelStatus = "status"
	LevelError  = "error"
)

// A Command is a command message (section 7.2): a call, or the answer to one.
type Command struct {
	Name        string
	Transaction float64 // 0: no answer is wanted
	Object      amf0.Value
	Args        []amf0.Value // what follows the command object
}

// ParseCommand reads a command message. One of type 17 must hold AMF0 values
// after its first byte, as encoders send them.
func ParseCommand(m Message) (Command, error) {
	b, err := amf0Body(m, TypeCommandAMF3)
	if err != nil {
		return Command{}, err
	}
	values, err := amf0.ParseAll(b)
	if err != nil {
		return Command{}, fmt.Errorf("command: %w", err)
	}
	if len(values) < 1 {
		return Command{}, errors.New("command message is empty")
	}
	c := Command{}
	var ok bool
	if c.Name, ok = values[0].(string); !ok {
		return Command{}, errors.New("command has no name")
	}
	if len(values) > 1 {
		if c.Transaction, ok = values[1].(float64); !ok {
			return Command{}, fmt.Errorf("command %.40q has no transaction number", c.Name)
		}
	}
	if len(values) > 2 {
		c.Object = values[2]
		c.Args = values[3:]
	}
	return c, nil
}

// Message makes the command message on a message stream.
func (c Command) Message(stream uint32) Message {
	b := amf0.Append(nil, c.Name, c.Transaction, c.Object)
	return Message{Type: TypeCommandAMF0, Chunk: chunkCommand, Stream: stream, Payload: amf0.Append(b, c.Args...)}
}

// Arg returns the argument's string, or "" when it is none.
func (c Command) Arg(i int) string {
	if i >= len(c.Args) {
		return ""
	}
	s, _ := c.Args[i].(string)
	return s
}

// A Status is the information object of onStatus and of connect's answer.
type Status struct {
	Level       string
	Code        string
	Description string
}

// Value makes the information object, with more members after its own.
func (s Status) Value(more ...amf0.Property) amf0.Object {
	return append(amf0.Object{
		{Key: "level", Value: s.Level},
		{Key: "code", Value: s.Code},
		{Key: "description", Value: s.Description},
	}, more...)
}

// OnStatus makes the onStatus command.
func (s Status) OnStatus() Command {
	return Command{Name: "onStatus", Args: []amf0.Value{s.Value()}}
}

// ParseStatus reads the information object among a command's arguments; some
// servers put it in the command object's place. What is missing is empty.
func ParseStatus(c Command) Status {
	for _, v := range append(c.Args[:len(c.Args):len(c.Args)], c.Object) {
		o := amf0.Members(v)
		code, ok := o.Get("code").(string)
		if !ok {
			continue
		}
		s := Status{Code: code}
		s.Level, _ = o.Get("level").(string)
		s.Description, _ = o.Get("description").(string)
		return s
	}
	return Status{}
}

// ParseData reads a data message: a handler's name and what it is told. The
// @setDataFrame in front that asks a server to keep the data is left out.
func ParseData(m Message) (name string, values []amf0.Value, err error) {
	b, err := amf0Body(m, TypeDataAMF3)
	if err != nil {
		return "", nil, err
	}
	values, err = amf0.ParseAll(b)
	if err != nil {
		return "", nil, fmt.Errorf("data message: %w", err)
	}
	if len(values) > 0 && values[0] == amf0.Value("@setDataFrame") {
		values = values[1:]
	}
	if len(values) == 0 {
		return "", nil, errors.New("data message is empty")
	}
	name, ok := values[0].(string)
	if !ok {
		return "", nil, errors.New("data message has no name")
	}
	return name, values[1:], nil
}

// amf0Body takes off the byte that says AMF0 in messages of the AMF3 types.
func amf0Body(m Message, amf3 uint8) ([]byte, error) {
	b := m.Payload
	if m.Type != amf3 {
		return b, nil
	}
	if len(b) == 0 || b[0] != 0 {
		return nil, errors.New("AMF3 values are not supported")
	}
	return b[1:], nil
}

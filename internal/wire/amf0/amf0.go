// Package amf0 reads and writes AMF0 values (Action Message Format, version 0,
// December 2007), in which RTMP carries its commands and FLV its metadata.
package amf0

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Limits of what Parse accepts.
const (
	MaxDepth  = 8       // objects and arrays in each other
	MaxValues = 1024    // values in one Parse, those within others included
	MaxString = 1 << 16 // bytes of a string or key
)

// A Value is one of nil (null, undefined and unsupported), bool, float64,
// string (both lengths, and XML), Object, ECMAArray, Array or Date.
type Value any

// A Property is one member of an Object or ECMAArray.
type Property struct {
	Key   string
	Value Value
}

// An Object is an anonymous or typed object, its members in their order. The
// class name of a typed one is not kept.
type Object []Property

// An ECMAArray is an array with named members: onMetaData comes as one.
type ECMAArray []Property

// An Array is a strict array.
type Array []Value

// A Date is milliseconds since 1970, UTC.
type Date float64

// Get returns the value of the first member with that key, or nil.
func (o Object) Get(key string) Value { return get(o, key) }

// Get returns the value of the first member with that key, or nil.
func (a ECMAArray) Get(key string) Value { return get(a, key) }

func get(properties []Property, key string) Value {
	for _, p := range properties {
		if p.Key == key {
			return p.Value
		}
	}
	return nil
}

// Members returns the members of an Object or an ECMAArray, and nothing of
// other values: senders use the two for one another.
func Members(v Value) Object {
	switch v := v.(type) {
	case Object:
		return v
	case ECMAArray:
		return Object(v)
	}
	return nil
}

// Markers (section 2.1).
const (
	markNumber      = 0x00
	markBool        = 0x01
	markString      = 0x02
	markObject      = 0x03
	markNull        = 0x05
	markUndefined   = 0x06
	markReference   = 0x07
	markECMAArray   = 0x08
	markObjectEnd   = 0x09
	markStrictArray = 0x0a
	markDate        = 0x0b
	markLongString  = 0x0c
	markUnsupported = 0x0d
	markXML         = 0x0f
	markTypedObject = 0x10
	markAMF3        = 0x11
)

var errShort = errors.New("amf0: value ends too early")

// Parse reads one value from the front of b. The value shares no memory with
// b.
func Parse(b []byte) (v Value, rest []byte, err error) {
	p := parser{b: b, left: MaxValues}
	v, err = p.value(0)
	return v, p.b, err
}

// ParseAll reads values up to the end of b; all of them together meet the
// limits of one Parse.
func ParseAll(b []byte) ([]Value, error) {
	p := parser{b: b, left: MaxValues}
	var all []Value
	for len(p.b) > 0 {
		v, err := p.value(0)
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

type parser struct {
	b    []byte
	left int // values that may still come
}

// take returns the next n bytes.
func (p *parser) take(n int) ([]byte, error) {
	if n > len(p.b) {
		return nil, errShort
	}
	b := p.b[:n]
	p.b = p.b[n:]
	return b, nil
}

func (p *parser) value(depth int) (Value, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("amf0: values in values are deeper than %d", MaxDepth)
	}
	if p.left--; p.left < 0 {
		return nil, fmt.Errorf("amf0: more than %d values", MaxValues)
	}
	mark, err := p.take(1)
	if err != nil {
		return nil, err
	}
	switch mark[0] {
	case markNumber:
		return p.number()
	case markBool:
		b, err := p.take(1)
		if err != nil {
			return nil, err
		}
		return b[0] != 0, nil
	case markString:
		return p.string()
	case markLongString, markXML:
		return p.longString()
	case markNull, markUndefined, markUnsupported:
		return nil, nil
	case markObject:
		o, err := p.properties(depth)
		return Object(o), err
	case markTypedObject:
		if _, err := p.string(); err != nil {
			return nil, err
		}
		o, err := p.properties(depth)
		return Object(o), err
	case markECMAArray:
		// The count is a hint that many senders leave zero; the end marker rules.
		if _, err := p.take(4); err != nil {
			return nil, err
		}
		o, err := p.properties(depth)
		return ECMAArray(o), err
	case markStrictArray:
		return p.array(depth)
	case markDate:
		ms, err := p.number()
		if err != nil {
			return nil, err
		}
		_, err = p.take(2) // time zone: reserved, to be ignored
		return Date(ms), err
	case markReference:
		return nil, errors.New("amf0: references are not supported")
	case markAMF3:
		return nil, errors.New("amf0: AMF3 values are not supported")
	}
	return nil, fmt.Errorf("amf0: marker 0x%02x is not supported", mark[0])
}

func (p *parser) number() (float64, error) {
	b, err := p.take(8)
	if err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
}

func (p *parser) string() (string, error) {
	b, err := p.take(2)
	if err != nil {
		return "", err
	}
	b, err = p.take(int(binary.BigEndian.Uint16(b)))
	return string(b), err
}

func (p *parser) longString() (string, error) {
	b, err := p.take(4)
	if err != nil {
		return "", err
	}
	n := binary.BigEndian.Uint32(b)
	if n > MaxString {
		return "", fmt.Errorf("amf0: string has %d bytes, limit %d", n, MaxString)
	}
	b, err = p.take(int(n))
	return string(b), err
}

func (p *parser) properties(depth int) ([]Property, error) {
	properties := []Property{}
	for {
		if len(p.b) >= 3 && p.b[0] == 0 && p.b[1] == 0 && p.b[2] == markObjectEnd {
			p.b = p.b[3:]
			return properties, nil
		}
		key, err := p.string()
		if err != nil {
			return nil, err
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		properties = append(properties, Property{key, v})
	}
}

func (p *parser) array(depth int) (Value, error) {
	b, err := p.take(4)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(b)
	if n > uint32(p.left) {
		return nil, fmt.Errorf("amf0: array says %d values, limit %d", n, MaxValues)
	}
	array := Array{}
	for range n {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		array = append(array, v)
	}
	return array, nil
}

// Append appends values. It panics on a type that is not a Value's, and on
// keys longer than 65535 bytes.
func Append(b []byte, values ...Value) []byte {
	for _, v := range values {
		b = appendValue(b, v)
	}
	return b
}

func appendValue(b []byte, v Value) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, markNull)
	case bool:
		if v {
			return append(b, markBool, 1)
		}
		return append(b, markBool, 0)
	case float64:
		return appendNumber(append(b, markNumber), v)
	case string:
		if len(v) > math.MaxUint16 {
			b = binary.BigEndian.AppendUint32(append(b, markLongString), uint32(len(v)))
			return append(b, v...)
		}
		return appendString(append(b, markString), v)
	case Object:
		return appendProperties(append(b, markObject), v)
	case ECMAArray:
		b = binary.BigEndian.AppendUint32(append(b, markECMAArray), uint32(len(v)))
		return appendProperties(b, v)
	case Array:
		b = binary.BigEndian.AppendUint32(append(b, markStrictArray), uint32(len(v)))
		return Append(b, v...)
	case Date:
		return append(appendNumber(append(b, markDate), float64(v)), 0, 0)
	}
	panic(fmt.Sprintf("amf0: append of a %T", v))
}

func appendNumber(b []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(b, math.Float64bits(v))
}

func appendString(b []byte, s string) []byte {
	if len(s) > math.MaxUint16 {
		panic("amf0: key is too long")
	}
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func appendProperties(b []byte, properties []Property) []byte {
	for _, p := range properties {
		b = appendValue(appendString(b, p.Key), p.Value)
	}
	return append(b, 0, 0, markObjectEnd)
}

package restjson

// A Kind is what a shape's values are in JSON.
type Kind string

// The kinds.
const (
	KindString    Kind = "string"
	KindNumber    Kind = "number"
	KindBoolean   Kind = "boolean"
	KindTimestamp Kind = "timestamp"
	KindList      Kind = "list"
	KindMap       Kind = "map"
	KindStructure Kind = "structure"
)

// A Description is a shape in a form that documents, tests and fuzzers read.
type Description struct {
	Kind     Kind
	Min, Max int64    // characters, items or pairs; of a number, its value
	Enum     []string // the values of a string that has few
	Of       Shape    // the items of a list, the values of a map
	Members  []Member // of a structure
}

// Describe returns what the shape says.
func Describe(s Shape) Description { return s.describe() }

func (t Text) describe() Description {
	return Description{Kind: KindString, Min: int64(t.min), Max: int64(t.max)}
}

func (c choice) describe() Description { return Description{Kind: KindString, Enum: c} }

func (i integer) describe() Description {
	return Description{Kind: KindNumber, Min: i.min, Max: i.max}
}

func (boolean) describe() Description { return Description{Kind: KindBoolean} }

func (instant) describe() Description { return Description{Kind: KindTimestamp} }

func (l list) describe() Description {
	return Description{Kind: KindList, Min: int64(l.min), Max: int64(l.max), Of: l.of}
}

func (m mapping) describe() Description {
	return Description{Kind: KindMap, Max: int64(m.max), Of: m.value}
}

func (s structure) describe() Description { return Description{Kind: KindStructure, Members: s} }

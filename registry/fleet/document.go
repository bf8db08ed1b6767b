package fleet

import (
	"encoding/json"
	"iter"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/tidwall/gjson"
)

// A Thing is what the index knows of one thing. What is zero does not occur.
type Thing struct {
	Name, ID, Type string
	Groups         []string // direct groups
	Attributes     map[string]string
	// Shadow is a JSON object with desired, reported, metadata and hasDelta
	// of the classic shadow, and in name those of the named ones.
	Shadow       json.RawMessage
	Defender     json.RawMessage // a JSON object
	Connectivity *Connectivity
}

// Connectivity is what is known of the last connection.
type Connectivity struct {
	Connected        bool
	Timestamp        int64 // milliseconds; 0 is none
	DisconnectReason string
}

// A Document is a thing or group as queries see it: fields with values. It is
// immutable.
type Document struct {
	fields map[string][]Value
	only   []string // the fields that it is made of; nil is all
}

// wants reports whether a field, or one below it, belongs to the document.
func (d *Document) wants(field string) bool {
	if d.only == nil {
		return true
	}
	for _, f := range d.only {
		if rest, ok := strings.CutPrefix(f, field); ok && (rest == "" || rest[0] == '.') {
			return true
		}
	}
	return false
}

// A Value is one value of a field.
type Value struct {
	Text   string // lower case
	Number float64
	// What the value is. A text of the registry may be several of them.
	Numeric, Boolean, String bool
}

// NumberValue is the value of a number.
func NumberValue(f float64) Value {
	return Value{Text: Canonical(f), Number: f, Numeric: true}
}

// Values returns the values of a field: do not modify.
func (d *Document) Values(field string) []Value { return d.fields[field] }

// NewDocument makes the document of a thing. JSON that cannot be read adds
// nothing.
func NewDocument(t Thing) *Document { return newDocument(t, nil) }

func newDocument(t Thing, only []string) *Document {
	d := &Document{fields: map[string][]Value{}, only: only}
	d.text("thingName", t.Name)
	d.text("thingId", t.ID)
	d.text("thingTypeName", t.Type)
	for _, g := range t.Groups {
		d.text("thingGroupNames", g)
	}
	d.attributes(t.Attributes)
	if d.wants("shadow") && gjson.ValidBytes(t.Shadow) {
		d.shadow(gjson.ParseBytes(t.Shadow))
	}
	if d.wants("deviceDefender") && gjson.ValidBytes(t.Defender) {
		d.tree("deviceDefender", gjson.ParseBytes(t.Defender), maxDepth)
	}
	if c := t.Connectivity; c != nil {
		d.add("connectivity.connected", Value{Text: strconv.FormatBool(c.Connected), Boolean: true})
		if c.Timestamp != 0 {
			d.add("connectivity.timestamp", NumberValue(float64(c.Timestamp)))
		}
		d.text("connectivity.disconnectReason", c.DisconnectReason)
	}
	return d
}

// A Group is what the index knows of one thing group.
type Group struct {
	Name, Description string
	Parents           []string // all groups above
	Attributes        map[string]string
}

// NewGroupDocument makes the document of a group.
func NewGroupDocument(g Group) *Document {
	d := &Document{fields: map[string][]Value{}}
	d.text("thingGroupName", g.Name)
	d.text("description", g.Description)
	for _, p := range g.Parents {
		d.text("parentGroupNames", p)
	}
	d.attributes(g.Attributes)
	return d
}

func (d *Document) add(field string, v Value) {
	if d.only == nil || slices.Contains(d.only, field) {
		d.fields[field] = append(d.fields[field], v)
	}
}

func (d *Document) text(field, s string) {
	if s != "" && d.wants(field) {
		d.add(field, Value{Text: strings.ToLower(s), String: true})
	}
}

func (d *Document) attributes(attrs map[string]string) {
	for name, s := range attrs {
		if !d.wants("attributes." + name) {
			continue
		}
		v := Value{Text: strings.ToLower(s), String: true}
		// Attributes are texts; those that read as a JSON number or Boolean are one too.
		v.Number, v.Numeric = indexedNumber(s)
		v.Boolean = s == "true" || s == "false"
		d.add("attributes."+name, v)
	}
}

// maxDepth bounds how deep objects are looked into. Shadows have at most
// eight levels.
const maxDepth = 32

// shadow adds the classic shadow and the named ones.
func (d *Document) shadow(s gjson.Result) {
	d.shadowState("shadow", s)
	s.ForEach(func(key, named gjson.Result) bool {
		if key.String() == "name" && named.IsObject() {
			named.ForEach(func(name, one gjson.Result) bool {
				if prefix := "shadow.name." + name.String(); d.wants(prefix) {
					d.shadowState(prefix, one)
				}
				return true
			})
		}
		return true
	})
}

// shadowState adds what of one shadow can be searched: not its version.
func (d *Document) shadowState(prefix string, s gjson.Result) {
	s.ForEach(func(key, v gjson.Result) bool {
		switch k := key.String(); k {
		case "desired", "reported", "delta", "metadata", "hasDelta":
			d.tree(prefix+"."+k, v, maxDepth)
		}
		return true
	})
	// The text of a shadow that a search returns has no delta.
	if d.wants(prefix+".delta") && !s.Get("delta").Exists() && s.Get("hasDelta").Type != gjson.False {
		d.delta(prefix+".delta", s.Get("desired"), s.Get("reported"), maxDepth)
	}
}

// delta adds what is desired and not reported so.
func (d *Document) delta(field string, desired, reported gjson.Result, depth int) {
	if !desired.IsObject() || depth == 0 {
		return
	}
	has := map[string]gjson.Result{}
	if reported.IsObject() {
		has = reported.Map()
	}
	desired.ForEach(func(key, v gjson.Result) bool {
		below := field + "." + key.String()
		switch r := has[key.String()]; {
		case v.IsObject() && r.IsObject():
			d.delta(below, v, r, depth-1)
		case !reflect.DeepEqual(v.Value(), r.Value()):
			d.tree(below, v, depth-1)
		}
		return true
	})
}

// tree adds the leaves of a JSON value. Names are joined with dots, so that a
// name with a dot lands in the field of the nested one.
func (d *Document) tree(field string, v gjson.Result, depth int) {
	switch {
	case !d.wants(field):
	case v.IsObject():
		if depth == 0 {
			return
		}
		v.ForEach(func(key, member gjson.Result) bool {
			d.tree(field+"."+key.String(), member, depth-1)
			return true
		})
	case v.IsArray():
		// An array counts if all of it can be indexed.
		var values []Value
		whole := true
		v.ForEach(func(_, element gjson.Result) bool {
			leaf, ok := leaf(element)
			values = append(values, leaf)
			whole = whole && ok
			return whole
		})
		for i := range values {
			if whole {
				d.add(field, values[i])
			}
		}
	default:
		if leaf, ok := leaf(v); ok {
			d.add(field, leaf)
		}
	}
}

// leaf reads a string, number or boolean.
func leaf(v gjson.Result) (Value, bool) {
	switch v.Type {
	case gjson.String:
		return Value{Text: strings.ToLower(v.Str), String: true}, true
	case gjson.Number:
		out := Value{Text: strings.ToLower(v.Raw)}
		out.Number, out.Numeric = indexedNumber(v.Raw)
		return out, true
	case gjson.True, gjson.False:
		return Value{Text: v.Raw, Boolean: true}, true
	}
	return Value{}, false
}

// number reads a JSON number literal.
func number(s string) (float64, bool) {
	if s == "" || s[0] != '-' && (s[0] < '0' || s[0] > '9') || !gjson.Valid(s) {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsInf(f, 0)
}

// maxInteger bounds the integers that are indexed as numbers: beyond, neighbours are the same double.
const maxInteger = 1 << 53

// indexedNumber reads a JSON number literal that is indexed as a number: others are words.
func indexedNumber(s string) (float64, bool) {
	f, ok := number(s)
	if ok && math.Abs(f) >= maxInteger && !strings.ContainsAny(s, ".eE") {
		whole, err := strconv.ParseInt(s, 10, 64)
		ok = err == nil && whole >= -maxInteger && whole <= maxInteger
	}
	return f, ok
}

// isSpace reports whether a character separates words: as Java's Character.isWhitespace has it, without the spaces that
// do not break.
func isSpace(r rune) bool {
	switch {
	case r <= ' ':
		return r == ' ' || r >= '\t' && r <= '\r' || r >= 0x1c && r <= 0x1f
	case r < 0x1680, r == 0x2007, r == 0x202f:
		return false
	}
	return unicode.In(r, unicode.Z)
}

// words yields the words of a text.
func words(s string) iter.Seq[string] { return strings.FieldsFuncSeq(s, isSpace) }

// searchedByDefault reports whether queries without a field look into it.
func searchedByDefault(field string) bool { return !strings.HasPrefix(field, "connectivity.") }

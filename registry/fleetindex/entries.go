package fleetindex

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/thingloom/thingloom/registry/fleet"
)

// The kinds of keys, see the package comment.
const (
	keyDoc        = "d/"
	keyRegistered = "g/"
	keyText       = "t/"
	keyNumber     = "n/"
	keyAnyText    = "a/"
	keyOpen       = "s"
	keyConfig     = "c"
	keyFormat     = "f"
	keySpace      = "p"
)

// keysBefore are the kinds that other formats had.
var keysBefore = []string{"w/", "b/"}

// format is that of the keys and documents.
const format = "3"

// A role is what the text of an entry is to a field of a thing: one or more of these, in the value of the entry.
type role byte

const (
	whole     role = 1 << iota // the whole text of a value
	word                       // a word of it
	canonical                  // the canonical form of a number
	ofNumber                   // of whole: the value is a number
	ofString                   // of whole: it is a text
	ofBoolean                  // of whole: it is a Boolean
)

// maxText bounds the text in a key. Longer ones are cut: what that finds too
// much is matched again.
const maxText = 256

// sep ends the parts of a key.
const sep = "\x00"

// document is what is known as queries see it.
func (k *Known) document(thing string) *fleet.Document {
	return fleet.NewDocument(k.fleetThing(thing))
}

// fleetThing is what is known of a thing that the registry has.
func (k *Known) fleetThing(name string) fleet.Thing {
	t := k.Thing
	return fleet.Thing{Name: name, ID: t.ID, Type: t.Type, Groups: t.Groups, Attributes: t.Attributes,
		Shadow: k.shadow(), Defender: k.Defender, Connectivity: k.Connectivity}
}

// shadow joins the shadows as the index has them: the named ones under name.
func (k *Known) shadow() json.RawMessage {
	classic := k.Shadows[""]
	named := make(map[string]json.RawMessage, len(k.Shadows))
	for name, doc := range k.Shadows {
		if name != "" {
			named[name] = doc
		}
	}
	if len(named) == 0 {
		return classic
	}
	all := map[string]json.RawMessage{}
	if classic != nil && json.Unmarshal(classic, &all) != nil {
		return nil // no object
	}
	var err error
	if all["name"], err = json.Marshal(named); err != nil {
		return nil
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil
	}
	return text
}

// An entry is one entry of a thing. The roles of a text that a field has several times are joined.
type entry struct {
	key   string
	roles role
}

// entries are those of a thing, in order, none if it is not to be found.
func entries(thing string, k *Known) []entry {
	if k.Thing == nil {
		return nil
	}
	b := entryList{thing: thing, all: []entry{{keyRegistered + thing, 0}}}
	for field, values := range k.document(thing).Fields() {
		byDefault := fleet.SearchedByDefault(field)
		for i := range values {
			b.value(field, &values[i], byDefault)
		}
	}
	for field, version := range k.versions() {
		b.add(keyNumber+field+sep+orderedNumber(version), 0)
	}
	slices.SortFunc(b.all, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	out := b.all[:1]
	for _, e := range b.all[1:] {
		if last := &out[len(out)-1]; last.key == e.key {
			last.roles |= e.roles
		} else {
			out = append(out, e)
		}
	}
	return out
}

type entryList struct {
	thing string
	all   []entry
}

func (b *entryList) add(key string, roles role) {
	b.all = append(b.all, entry{key + sep + b.thing, roles})
}

// value adds the entries of one value.
func (b *entryList) value(field string, v *fleet.Value, byDefault bool) {
	roles := whole
	for _, is := range []struct {
		yes  bool
		role role
	}{{v.Numeric, ofNumber}, {v.String, ofString}, {v.Boolean, ofBoolean}} {
		if is.yes {
			roles |= is.role
		}
	}
	b.add(keyText+field+sep+cut(v.Text), roles)
	text := func(text string, role role) {
		b.add(keyText+field+sep+cut(text), role)
		if byDefault {
			b.add(keyAnyText+cut(text), role)
		}
	}
	for one := range v.Words() {
		text(one, word)
	}
	if v.Numeric {
		b.add(keyNumber+field+sep+orderedNumber(v.Number), 0)
		text(fleet.Canonical(v.Number), canonical)
	}
}

// versions are those that are aggregated: queries do not see them.
func (k *Known) versions() map[string]float64 {
	versions := map[string]float64{DefaultField: float64(k.Thing.Version)}
	for name, doc := range k.Shadows {
		if v := gjson.GetBytes(doc, "version"); v.Type == gjson.Number {
			field := "shadow.version"
			if name != "" {
				field = "shadow.name." + name + ".version"
			}
			versions[field] = v.Num
		}
	}
	return versions
}

// cut bounds a text, and takes out what separates.
func cut(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ReplaceAll(s, sep, "\x01")
}

// intact reports whether cut takes any text that is not longer for itself, and no other for it.
func intact(s string) bool { return len(s) < maxText && !strings.ContainsAny(s, "\x00\x01") }

// orderedNumber is a number as text that sorts as numbers do.
func orderedNumber(f float64) string {
	if f == 0 {
		f = 0 // not -0
	}
	bits := math.Float64bits(f)
	if bits>>63 == 0 {
		bits |= 1 << 63
	} else {
		bits = ^bits
	}
	text := strconv.FormatUint(bits, 16)
	return "0000000000000000"[len(text):] + text
}

// numberOf is the number that orderedNumber made a text of.
func numberOf(text string) (float64, error) {
	bits, err := strconv.ParseUint(text, 16, 64)
	if bits>>63 == 1 {
		bits &^= 1 << 63
	} else {
		bits = ^bits
	}
	return math.Float64frombits(bits), err
}

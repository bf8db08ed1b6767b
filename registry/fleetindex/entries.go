package fleetindex

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/thingloom/thingloom/registry/fleet"
)

// The kinds of keys, see the package comment.
const (
	keyDoc       = "d/"
	keyWord      = "w/"
	keyNumber    = "n/"
	keyText      = "t/"
	keyAnyWord   = "a/"
	keyAnyNumber = "b/"
	keyOpen      = "s"
	keyConfig    = "c"
	keyFormat    = "f"
)

// format is that of the keys and documents.
const format = "2"

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

// entries are the keys for a thing, in order, none if it is not to be found.
func entries(thing string, k *Known) []string {
	if k.Thing == nil {
		return nil
	}
	var keys []string
	for field, values := range k.document(thing).Fields() {
		byDefault := fleet.SearchedByDefault(field)
		for i := range values {
			v := &values[i]
			keys = append(keys, keyText+field+sep+cut(v.Text)+sep+thing)
			if v.Numeric {
				number := orderedNumber(v.Number)
				keys = append(keys, keyNumber+field+sep+number+sep+thing)
				if byDefault {
					keys = append(keys, keyAnyNumber+number+sep+thing)
				}
				continue // its only word is its text, and is not looked for without a field
			}
			for word := range strings.FieldsSeq(v.Text) {
				if len(word) < len(v.Text) {
					keys = append(keys, keyWord+field+sep+cut(word)+sep+thing)
				}
				if byDefault {
					keys = append(keys, keyAnyWord+cut(word)+sep+thing)
				}
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// cut bounds a text, and takes out what separates.
func cut(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ReplaceAll(s, sep, "\x01")
}

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

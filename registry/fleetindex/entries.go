package fleetindex

import (
	"encoding/json"
	"fmt"
	"math"
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
)

// maxText bounds the text in a key. Longer ones are cut: what that finds too
// much is matched again.
const maxText = 256

// sep ends the parts of a key.
const sep = "\x00"

// document is the record as queries see it.
func (r *record) document(thing string) *fleet.Document {
	return fleet.NewDocument(r.thing(thing))
}

func (r *record) thing(name string) fleet.Thing {
	return fleet.Thing{Name: name, ID: r.ID, Type: r.Type, Groups: r.Groups, Attributes: r.Attributes,
		Shadow: r.shadow(), Defender: r.Defender, Connectivity: r.Connectivity}
}

// shadow joins the shadows as the index has them: the named ones under name.
func (r *record) shadow() json.RawMessage {
	if len(r.Named) == 0 {
		return r.Classic
	}
	all := map[string]json.RawMessage{}
	if r.Classic != nil && json.Unmarshal(r.Classic, &all) != nil {
		return nil // was checked when it came
	}
	named, err := json.Marshal(r.Named)
	if err != nil {
		return nil
	}
	all["name"] = named
	text, err := json.Marshal(all)
	if err != nil {
		return nil
	}
	return text
}

// entries are the keys of a record, none if it is not to be found.
func entries(thing string, r *record) map[string]bool {
	keys := map[string]bool{}
	if !r.Registered {
		return keys
	}
	for field, values := range r.document(thing).Fields() {
		byDefault := fleet.SearchedByDefault(field)
		for i := range values {
			v := &values[i]
			keys[keyText+field+sep+cut(v.Text)+sep+thing] = true
			if v.Numeric {
				number := orderedNumber(v.Number)
				keys[keyNumber+field+sep+number+sep+thing] = true
				if byDefault {
					keys[keyAnyNumber+number+sep+thing] = true
				}
			}
			for word := range strings.FieldsSeq(v.Text) {
				keys[keyWord+field+sep+cut(word)+sep+thing] = true
				if byDefault {
					keys[keyAnyWord+cut(word)+sep+thing] = true
				}
			}
		}
	}
	return keys
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
	return fmt.Sprintf("%016x", bits)
}

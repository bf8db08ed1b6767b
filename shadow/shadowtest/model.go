package shadowtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"

	"github.com/thingloom/thingloom/shadow"
)

// A Model is one shadow in plain Go values: what a shadow.Service does, said a second time and in the simplest way, for
// tests that compare the two. Its zero value is a shadow that does not exist.
type Model struct {
	Version           int64
	Desired, Reported map[string]any // nil where there is none; numbers are json.Number
	meta              [2]map[string]any
}

// Check applies what a change says was asked for, and compares what came of it.
func (m *Model) Check(c shadow.Change) error {
	if c.Before.Version != m.Version && c.Before.Version != 0 {
		return fmt.Errorf("%s: version %d was replaced, %d was there", c.Ref, c.Before.Version, m.Version)
	}
	m.Version++
	now := json.Number(fmt.Sprint(c.After.Time.Unix()))
	if c.After.Deleted {
		*m = Model{Version: m.Version}
	} else if err := m.update(c.State, now); err != nil {
		return err
	}
	delta, deltaMeta := differ(m.Desired, m.Reported, m.meta[0])
	for _, part := range []struct {
		what string
		got  json.RawMessage
		want any
	}{
		{"desired", c.After.Desired, m.Desired}, {"reported", c.After.Reported, m.Reported}, {"metadata", c.After.Metadata, m.metadata()},
		{"delta", c.Delta, delta}, {"metadata of the delta", c.DeltaMetadata, deltaMeta},
	} {
		if c.After.Deleted && part.what == "metadata" && part.got == nil {
			continue
		}
		if err := agree(part.got, part.want); err != nil {
			return fmt.Errorf("%s, version %d, after %s: %s: %w", c.Ref, c.After.Version, c.State, part.what, err)
		}
	}
	if c.After.Version != m.Version {
		return fmt.Errorf("%s: version %d, want %d", c.Ref, c.After.Version, m.Version)
	}
	return nil
}

func agree(got json.RawMessage, want any) error {
	if got == nil && reflect.ValueOf(want).Len() == 0 {
		return nil
	}
	value, err := decode(got)
	if err != nil || !reflect.DeepEqual(value, want) {
		text, _ := json.Marshal(want)
		return fmt.Errorf("got %s, want %s, %v", got, text, err)
	}
	return nil
}

func decode(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func (m *Model) metadata() map[string]any {
	all := map[string]any{}
	if m.Desired != nil {
		all["desired"] = m.meta[0]
	}
	if m.Reported != nil {
		all["reported"] = m.meta[1]
	}
	return all
}

func (m *Model) update(state []byte, now json.Number) error {
	v, err := decode(state)
	if err != nil {
		return err
	}
	asked, ok := v.(map[string]any)
	if !ok { // null takes all
		asked = map[string]any{"desired": nil, "reported": nil}
	}
	for i, section := range []*map[string]any{&m.Desired, &m.Reported} {
		patch, ok := asked[[]string{"desired", "reported"}[i]]
		if !ok {
			continue
		}
		if *section == nil {
			*section, m.meta[i] = map[string]any{}, map[string]any{}
		}
		if patch != nil {
			merge(*section, m.meta[i], patch.(map[string]any), now)
		}
		if patch == nil || len(*section) == 0 {
			*section, m.meta[i] = nil, nil
		}
	}
	return nil
}

// merge is section 5 of the specification.
func merge(into, meta, patch map[string]any, now json.Number) {
	for key, v := range patch {
		below, isObject := v.(map[string]any)
		old, wasObject := into[key].(map[string]any)
		switch {
		case v == nil:
			delete(into, key)
			delete(meta, key)
		case isObject && wasObject:
			merge(old, meta[key].(map[string]any), below, now)
		case isObject && len(below) > 0 && len(strip(below)) == 0: // nothing but nulls
		default:
			if isObject {
				v = strip(below)
			}
			into[key], meta[key] = v, mirror(v, now)
		}
	}
}

func strip(o map[string]any) map[string]any {
	kept := map[string]any{}
	for key, v := range o {
		if below, ok := v.(map[string]any); ok {
			if s := strip(below); len(s) > 0 || len(below) == 0 {
				kept[key] = s
			}
		} else if v != nil {
			kept[key] = v
		}
	}
	return kept
}

func mirror(v any, now json.Number) any {
	switch v := v.(type) {
	case map[string]any:
		all := map[string]any{}
		for key, one := range v {
			all[key] = mirror(one, now)
		}
		return all
	case []any:
		all := []any{}
		for _, one := range v {
			all = append(all, mirror(one, now))
		}
		return all
	}
	return map[string]any{"timestamp": now}
}

// differ is section 6.
func differ(desired, reported, meta map[string]any) (delta, deltaMeta map[string]any) {
	delta, deltaMeta = map[string]any{}, map[string]any{}
	for key, want := range desired {
		have, ok := reported[key]
		w, isObject := want.(map[string]any)
		h, wasObject := have.(map[string]any)
		switch {
		case ok && isObject && wasObject:
			if d, m := differ(w, h, meta[key].(map[string]any)); len(d) > 0 {
				delta[key], deltaMeta[key] = d, m
			}
		case !ok || !equal(want, have):
			delta[key], deltaMeta[key] = want, meta[key]
		}
	}
	return delta, deltaMeta
}

func equal(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		x, okX := new(big.Rat).SetString(a.String())
		y, okY := new(big.Rat).SetString(b.String())
		return ok && okX && okY && x.Cmp(y) == 0
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key := range a {
			if other, ok := b[key]; !ok || !equal(a[key], other) {
				return false
			}
		}
		return true
	}
	return a == b
}

// RandomState is the state of an update request in which names and values often meet: JSON that a service accepts.
func RandomState(rng *rand.Rand) string {
	section := func() string {
		if rng.IntN(12) == 0 {
			return "null"
		}
		return randomObject(rng, 3)
	}
	switch rng.IntN(20) {
	case 0:
		return "null"
	case 1:
		return "{}"
	case 2, 3, 4, 5, 6:
		return `{"desired":` + section() + `}`
	case 7, 8, 9, 10, 11:
		return `{"reported":` + section() + `}`
	}
	return `{"reported":` + section() + `,"desired":` + section() + `}`
}

func randomObject(rng *rand.Rand, depth int) string {
	text := "{"
	for i, key := range rng.Perm(4)[:rng.IntN(4)] {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf("%q:%s", string(rune('a'+key)), randomValue(rng, depth-1, true))
	}
	return text + "}"
}

func randomValue(rng *rand.Rand, depth int, null bool) string {
	scalars := []string{"0", "1", "1.0", "10e-1", "-2.5", "9007199254740993", `""`, `"1"`, `"é"`, "true", "false"}
	switch k := rng.IntN(10); {
	case k == 0 && null:
		return "null"
	case k < 4 && depth > 0 && null:
		return randomObject(rng, depth)
	case k < 6:
		text := "["
		for i := range rng.IntN(3) {
			if i > 0 {
				text += ","
			}
			if rng.IntN(4) == 0 {
				text += `{"x":` + randomValue(rng, depth-1, false) + `}`
			} else {
				text += scalars[rng.IntN(len(scalars))]
			}
		}
		return text + "]"
	}
	return scalars[rng.IntN(len(scalars))]
}

package shadow

import (
	"encoding/json"
	"strings"
)

// A FieldChange is one field that differs between two documents.
type FieldChange struct {
	// Path is a JSON pointer (RFC 6901) that begins with the section, such as
	// /desired/color/hue.
	Path string

	// Before and After are the values as JSON, nil where the field was absent.
	Before, After json.RawMessage
}

// Diff lists the fields in which two documents differ, those of desired first.
// An object is compared member by member, also where one side lacks it;
// everything else as a whole, arrays too. Numbers compare by value: 1 and 1.0
// are no change. A tombstone and the zero Document have no fields. The error
// is ErrCorrupt, for documents that no Merge has made.
func Diff(before, after Document) ([]FieldChange, error) {
	b, err := before.sections()
	if err != nil {
		return nil, err
	}
	a, err := after.sections()
	if err != nil {
		return nil, err
	}
	var d differ
	d.objects("/desired", &b.desired, &a.desired)
	d.objects("/reported", &b.reported, &a.reported)
	return d.out, nil
}

type differ struct{ out []FieldChange }

// objects compares two objects. What only before has comes last.
func (d *differ) objects(path string, before, after *node) {
	f := finder{n: before}
	for i := range after.kids {
		k, was := &after.kids[i], (*node)(nil)
		if j := f.find(k.key, i); j >= 0 {
			was = &before.kids[j]
		}
		d.values(path+pointer(k.key), was, k)
	}
	f = finder{n: after}
	for i := range before.kids {
		if k := &before.kids[i]; f.find(k.key, i) < 0 {
			d.values(path+pointer(k.key), k, nil)
		}
	}
}

// values compares two values, of which one may be absent.
func (d *differ) values(path string, before, after *node) {
	none := &node{kind: object}
	switch {
	case before == nil && after.kind == object && len(after.kids) > 0:
		d.objects(path, none, after)
	case after == nil && before.kind == object && len(before.kids) > 0:
		d.objects(path, before, none)
	case before == nil:
		d.out = append(d.out, FieldChange{path, nil, after.json()})
	case after == nil:
		d.out = append(d.out, FieldChange{path, before.json(), nil})
	case before.kind == object && after.kind == object:
		d.objects(path, before, after)
	case !equal(before, after):
		d.out = append(d.out, FieldChange{path, before.json(), after.json()})
	}
}

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

// pointer is one step of a JSON pointer; key is quoted.
func pointer(key string) string { return "/" + pointerEscaper.Replace(unquote(key)) }

var pointerUnescaper = strings.NewReplacer("~1", "/", "~0", "~")

// Field returns the value at a JSON pointer such as /reported/color/hue, or
// nil if there is none. The pointers /desired and /reported are the sections;
// below arrays there is nothing.
func (d Document) Field(pointer string) json.RawMessage {
	steps := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	var raw json.RawMessage
	switch steps[0] {
	case "desired":
		raw = d.Desired
	case "reported":
		raw = d.Reported
	}
	if len(steps) == 1 || raw == nil {
		return raw
	}
	n, _, err := parse(string(raw))
	if err != nil {
		return nil
	}
	for _, step := range steps[1:] {
		i := -1
		if n.kind == object {
			i = search(n.kids, quote(pointerUnescaper.Replace(step)))
		}
		if i < 0 {
			return nil
		}
		n = n.kids[i]
	}
	return n.json()
}

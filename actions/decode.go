package actions

import (
	"bytes"
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/thingloom/thingloom/internal/sql"
)

// Decode decodes the parameters of an action strictly into the struct that
// into points at. Unlike json.Unmarshal it reports, as a *ParamError with the
// path of the place: a field that the struct does not have (with the nearest
// that it has), a field given twice, a missing field whose tag says
// `required:"true"`, and any error of a value, such as the position in a Template that
// does not compile. Names count with their case. A null leaves the zero value.
// Templates are compiled in the language of no rule in particular.
func Decode(params json.RawMessage, into any) error {
	return DecodeFor(context.Background(), params, into)
}

// DecodeFor is Decode in the context that Spec.Open is given: templates are
// compiled in the language of the rule that the action is opened for.
func DecodeFor(ctx context.Context, params json.RawMessage, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("actions: Decode into %T, not a pointer to a struct", into)
	}
	if len(bytes.TrimSpace(params)) == 0 {
		params = json.RawMessage("{}")
	}
	if err := json.Unmarshal(params, new(json.RawMessage)); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			err = fmt.Errorf("offset %d: %w", syntax.Offset, err)
		}
		return &ParamError{Err: err}
	}
	return paramDecoder{sql.BindingOf(ctx)}.value("", params, v.Elem())
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func isLeaf(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler)
}

// A paramDecoder decodes for the rule of a binding, which may be nil.
type paramDecoder struct{ binding *sql.Binding }

func (d paramDecoder) value(path string, raw json.RawMessage, v reflect.Value) error {
	t := v.Type()
	if isLeaf(t) {
		return d.leaf(path, raw, v)
	}
	if isNull(raw) {
		return nil
	}
	switch {
	case t.Kind() == reflect.Pointer:
		p := reflect.New(t.Elem())
		if err := d.value(path, raw, p.Elem()); err != nil {
			return err
		}
		v.Set(p)
		return nil
	case t.Kind() == reflect.Struct:
		return d.structure(path, raw, v)
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		var elems []json.RawMessage
		if err := json.Unmarshal(raw, &elems); err != nil {
			return wrongType(path, raw, "an array")
		}
		s := reflect.MakeSlice(t, len(elems), len(elems))
		for i, e := range elems {
			if err := d.value(path+"["+strconv.Itoa(i)+"]", e, s.Index(i)); err != nil {
				return err
			}
		}
		v.Set(s)
		return nil
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		m := reflect.MakeMap(t)
		err := eachMember(path, raw, func(name string, value json.RawMessage) error {
			e := reflect.New(t.Elem()).Elem()
			if err := d.value(join(path, name), value, e); err != nil {
				return err
			}
			m.SetMapIndex(reflect.ValueOf(name).Convert(t.Key()), e)
			return nil
		})
		if err == nil {
			v.Set(m)
		}
		return err
	}
	return d.leaf(path, raw, v)
}

func (d paramDecoder) leaf(path string, raw json.RawMessage, v reflect.Value) error {
	var err error
	if t, ok := v.Addr().Interface().(*Template); ok {
		err = t.decode(raw, d.binding)
	} else {
		err = json.Unmarshal(raw, v.Addr().Interface())
	}
	if err == nil {
		return nil
	}
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		if reflect.PointerTo(v.Type()).Implements(textUnmarshaler) {
			return wrongType(path, raw, "a string")
		}
		return wrongType(path, raw, kindName(mismatch.Type))
	}
	return &ParamError{path, err}
}

func (d paramDecoder) structure(path string, raw json.RawMessage, v reflect.Value) error {
	fields, err := fieldsOf(v.Type())
	if err != nil {
		return err
	}
	given := map[string]bool{}
	err = eachMember(path, raw, func(name string, value json.RawMessage) error {
		f, ok := fields.byName[name]
		if !ok {
			return &ParamError{join(path, name), errors.New("unknown field" + suggest(name, fields.names))}
		}
		given[name] = !isNull(value)
		return d.value(join(path, name), value, v.FieldByIndex(f.Index))
	})
	if err != nil {
		return err
	}
	for _, name := range fields.names {
		if fields.byName[name].Tag.Get("required") == "true" && !given[name] {
			return &ParamError{join(path, name), errors.New("required, and missing")}
		}
	}
	return nil
}

// eachMember calls f for the members of the object raw, in order. Twice the
// same name is an error: one of the two would silently not count.
func eachMember(path string, raw json.RawMessage, f func(name string, value json.RawMessage) error) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	open, err := dec.Token()
	if err != nil || open != json.Delim('{') {
		return wrongType(path, raw, "an object")
	}
	seen := map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return &ParamError{path, err}
		}
		name := key.(string) // the decoder admits nothing else here
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return &ParamError{join(path, name), err}
		}
		if seen[name] {
			return &ParamError{join(path, name), errors.New("given twice")}
		}
		seen[name] = true
		if err := f(name, value); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil && err != io.EOF {
		return &ParamError{path, err}
	}
	return nil
}

type structFields struct {
	names  []string // in the order of the struct
	byName map[string]reflect.StructField
}

// fieldsOf lists the fields a parameter struct has by the names of its json
// tags, those of embedded structs among them.
func fieldsOf(t reflect.Type) (structFields, error) {
	r := structFields{byName: map[string]reflect.StructField{}}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" || f.Anonymous && name == "" {
			continue
		}
		if name == "" {
			return r, fmt.Errorf("actions: field %s of %s has no json tag", f.Name, t)
		}
		if _, twice := r.byName[name]; twice {
			return r, fmt.Errorf("actions: two fields of %s are named %q", t, name)
		}
		r.names = append(r.names, name)
		r.byName[name] = f
	}
	return r, nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }

func wrongType(path string, raw json.RawMessage, want string) error {
	got := "a number"
	switch raw = bytes.TrimSpace(raw); {
	case len(raw) == 0:
		got = "nothing"
	case raw[0] == '{':
		got = "an object"
	case raw[0] == '[':
		got = "an array"
	case raw[0] == '"':
		got = "a string"
	case raw[0] == 't' || raw[0] == 'f':
		got = "a boolean"
	case raw[0] == 'n':
		got = "null"
	}
	if got == want {
		return &ParamError{path, fmt.Errorf("%s out of range", raw)}
	}
	return &ParamError{path, fmt.Errorf("is %s, wants %s", got, want)}
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a " + t.String()
}

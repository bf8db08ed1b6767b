package actions

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
)

// A Param describes one parameter of a plugin, for documentation and forms.
type Param struct {
	Path     string // as "headers[].value"; a map's members are "tags.*"
	Type     string // string, integer, number, boolean, template, duration, json, or the Go type
	Required bool   // tag required:"true"
	Default  string // tag default:"..."; what an absent field means
	Doc      string // tag doc:"..."
}

// Describe lists the parameters of s in the order of its struct, nested ones
// below their parents. The struct's tags are json (the name), required,
// default and doc.
func Describe(s Spec) ([]Param, error) {
	if s.Params == nil {
		return nil, nil
	}
	t := reflect.TypeOf(s.Params)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("actions: spec %q: Params is %s, not a struct", s.Name, t)
	}
	var out []Param
	if err := describe(&out, "", t, 0); err != nil {
		return nil, fmt.Errorf("spec %q: %w", s.Name, err)
	}
	return out, nil
}

func describe(out *[]Param, path string, t reflect.Type, depth int) error {
	if depth > 8 {
		return fmt.Errorf("actions: parameters nest more than 8 deep at %s", path)
	}
	fields, err := fieldsOf(t)
	if err != nil {
		return err
	}
	for _, name := range fields.names {
		f := fields.byName[name]
		p := Param{Path: join(path, name), Required: f.Tag.Get("required") == "true",
			Default: f.Tag.Get("default"), Doc: f.Tag.Get("doc")}
		inner, suffix := f.Type, ""
		for loop := true; loop && !isLeaf(inner); {
			switch {
			case inner.Kind() == reflect.Pointer:
				inner = inner.Elem()
			case inner.Kind() == reflect.Slice && inner.Elem().Kind() != reflect.Uint8:
				inner, suffix = inner.Elem(), suffix+"[]"
			case inner.Kind() == reflect.Map:
				inner, suffix = inner.Elem(), suffix+".*"
			default:
				loop = false
			}
		}
		p.Path += suffix
		p.Type = typeName(inner)
		*out = append(*out, p)
		if inner.Kind() == reflect.Struct && !isLeaf(inner) {
			if err := describe(out, p.Path, inner, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Template]():
		return "template"
	case reflect.TypeFor[Duration](), reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[json.RawMessage]():
		return "json"
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Struct:
		return "object"
	}
	if strings.HasPrefix(kindName(t), "an integer") {
		return "integer"
	}
	return t.String()
}

// WriteDoc writes a Markdown section per plugin of c: its summary and a table
// of its parameters.
func (c *Catalog) WriteDoc(w io.Writer) error {
	var b strings.Builder
	for i, s := range c.specs {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "## %s\n\n%s\n", s.Name, s.Summary)
		if s.Inline {
			b.WriteString("\nRuns before the publisher is acknowledged.\n")
		}
		params, err := Describe(s)
		if err != nil {
			return err
		}
		if len(params) == 0 {
			continue
		}
		b.WriteString("\n| parameter | type | default | |\n|---|---|---|---|\n")
		for _, p := range params {
			def := p.Default
			if p.Required {
				def = "required"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", p.Path, p.Type, def, strings.ReplaceAll(p.Doc, "|", `\|`))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// A Duration is a parameter such as "1.5s" or "2m": text as time.ParseDuration reads it.
type Duration time.Duration

// UnmarshalText reads a duration that is not negative.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is no duration such as 1.5s or 2m", b)
	}
	if v < 0 {
		return fmt.Errorf("%q is negative", b)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

package provision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// A document is a policy that a template writes as an object. Functions may
// stand in it wherever a value may; what has none keeps its text, so that its
// name, which is a hash of it, does not depend on how it was read.
type document struct {
	text   string // of all before the values, and between them
	values []docValue
}

// A docValue is a function within a document, and where its text goes.
type docValue struct {
	at int // offset in text
	e  expr
}

func (d document) eval(s *scope) (value, error) {
	var out bytes.Buffer
	last := 0
	for _, v := range d.values {
		got, err := v.e.eval(s)
		if err != nil {
			return value{}, err
		}
		var of any = got.text
		if got.isList {
			of = got.list
		}
		text, err := json.Marshal(of)
		if err != nil {
			return value{}, err
		}
		out.WriteString(d.text[last:v.at])
		out.Write(text)
		last = v.at
	}
	out.WriteString(d.text[last:])
	return value{text: out.String()}, nil
}

// parseDocument reads a policy that is an object.
func parseDocument(path string, raw json.RawMessage) (expr, error) {
	d := &docParser{path: path, raw: raw}
	if err := d.value(path, raw, 0, 0); err != nil {
		return nil, err
	}
	d.out.Write(raw[d.done:])
	return document{text: d.out.String(), values: d.values}, nil
}

// A docParser cuts the functions out of the text of a document.
type docParser struct {
	path   string
	raw    json.RawMessage
	done   int // offset in raw up to which it is in out
	out    bytes.Buffer
	values []docValue
}

// maxDocumentDepth bounds how deep a policy nests.
const maxDocumentDepth = 64

// value looks for functions in the value that begins at an offset of raw.
func (d *docParser) value(path string, text json.RawMessage, at, depth int) error {
	if depth > maxDocumentDepth {
		return invalidTemplate(path, "nested deeper than %d", maxDocumentDepth)
	}
	kind := kindOf(text)
	if kind != '{' && kind != '[' {
		return nil
	}
	if kind == '{' && isFunction(text) {
		e, err := parseFunction(path, text, 0)
		if err != nil {
			return err
		}
		d.out.Write(d.raw[d.done:at])
		d.values = append(d.values, docValue{d.out.Len(), e})
		d.done = at + len(text)
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return invalidTemplate(path, "%v", err)
	}
	for i := 0; dec.More(); i++ {
		name := fmt.Sprintf("[%d]", i)
		if kind == '{' {
			key, err := dec.Token()
			if err != nil {
				return invalidTemplate(path, "%v", err)
			}
			name = fmt.Sprintf(".%s", key)
		}
		var inner json.RawMessage
		if err := dec.Decode(&inner); err != nil {
			return invalidTemplate(path+name, "%v", err)
		}
		if err := d.value(path+name, inner, at+int(dec.InputOffset())-len(inner), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// isFunction tells a function from an object of the document. No member of a
// policy has the name of one.
func isFunction(text json.RawMessage) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil || len(members) != 1 {
		return false
	}
	for name := range members {
		return slices.Contains(functions, name)
	}
	return false
}

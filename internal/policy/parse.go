package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A SyntaxError says what is wrong with a document, and where.
type SyntaxError struct {
	Path         string // such as "Statement[1].Effect"; empty for the document
	Line, Column int    // from 1, in characters
	Reason       string
}

func (e *SyntaxError) Error() string {
	s := fmt.Sprintf("policy: line %d, column %d: ", e.Line, e.Column)
	if e.Path != "" {
		s += e.Path + ": "
	}
	return s + e.Reason
}

// A Document is a compiled policy document. It is immutable.
type Document struct {
	ID         string
	Version    string
	statements []statement
}

// Statements is the number of statements.
func (d *Document) Statements() int { return len(d.statements) }

// Sid returns the Sid of statement i, or "".
func (d *Document) Sid(i int) string { return d.statements[i].sid }

// Characters counts the characters of a document as quotas do: without white
// space.
func Characters(doc []byte) int {
	n := 0
	for _, r := range string(doc) {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}

// Parse compiles a document. Errors are *SyntaxError.
func Parse(doc []byte) (*Document, error) {
	p := &parser{src: doc, dec: json.NewDecoder(bytes.NewReader(doc))}
	p.dec.UseNumber()
	if !utf8.Valid(doc) {
		return nil, p.errorAt(0, "is not UTF-8")
	}
	d, err := p.document()
	if err != nil {
		return nil, err
	}
	if _, err := p.dec.Token(); err != io.EOF {
		return nil, p.errorAt(p.dec.InputOffset(), "something follows the document")
	}
	return d, nil
}

type parser struct {
	src  []byte
	dec  *json.Decoder
	path []string
	// variables is off for documents that do not know any.
	variables bool
}

// errorAt makes an error at the first byte at or after off that begins a token.
func (p *parser) errorAt(off int64, format string, args ...any) error {
	off = min(off, int64(len(p.src)))
	for off < int64(len(p.src)) && strings.IndexByte(" \t\r\n,:", p.src[off]) >= 0 {
		off++
	}
	before := p.src[:off]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return &SyntaxError{Path: strings.TrimPrefix(strings.Join(p.path, ""), "."), Line: line, Column: column,
		Reason: fmt.Sprintf(format, args...)}
}

func (p *parser) push(element string) { p.path = append(p.path, element) }
func (p *parser) pop()                { p.path = p.path[:len(p.path)-1] }

// next reads one token and returns where it began.
func (p *parser) next() (json.Token, int64, error) {
	off := p.dec.InputOffset()
	tok, err := p.dec.Token()
	if err != nil {
		if se, ok := err.(*json.SyntaxError); ok {
			off = max(se.Offset-1, 0)
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil, off, p.errorAt(int64(len(p.src)), "the document ends too early")
		}
		return nil, off, p.errorAt(off, "is not JSON: %v", err)
	}
	return tok, off, nil
}

// object calls member for each key of the object that comes next.
func (p *parser) object(what string, member func(key string, off int64) error) (int64, error) {
	tok, start, err := p.next()
	if err != nil {
		return start, err
	}
	if tok != json.Delim('{') {
		return start, p.errorAt(start, "%s must be an object", what)
	}
	return start, p.members(member)
}

// members is object after the opening brace.
func (p *parser) members(member func(key string, off int64) error) error {
	seen := map[string]bool{}
	for {
		tok, off, err := p.next()
		if err != nil {
			return err
		}
		if tok == json.Delim('}') {
			return nil
		}
		key := tok.(string) // the decoder lets nothing else pass
		if seen[key] {
			return p.errorAt(off, "%q occurs twice", key)
		}
		seen[key] = true
		p.push("." + key)
		if err := member(key, off); err != nil {
			return err
		}
		p.pop()
	}
}

// text is a scalar of the document, as text.
type text struct {
	s   string
	off int64
}

func scalar(tok json.Token) (string, bool) {
	switch v := tok.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// str reads a string.
func (p *parser) str() (text, error) {
	tok, off, err := p.next()
	if err != nil {
		return text{}, err
	}
	s, ok := tok.(string)
	if !ok {
		return text{}, p.errorAt(off, "must be a string")
	}
	return text{s, off}, nil
}

// list reads a string or an array of strings; with scalars numbers and
// booleans are taken as their text.
func (p *parser) list(scalars bool) ([]text, error) {
	tok, off, err := p.next()
	if err != nil {
		return nil, err
	}
	one := func(tok json.Token, off int64) (text, error) {
		s, ok := tok.(string)
		if !ok && scalars {
			s, ok = scalar(tok)
		}
		if !ok {
			return text{}, p.errorAt(off, "must be a string or an array of strings")
		}
		return text{s, off}, nil
	}
	if tok != json.Delim('[') {
		t, err := one(tok, off)
		return []text{t}, err
	}
	var out []text
	for {
		tok, off, err := p.next()
		if err != nil {
			return nil, err
		}
		if tok == json.Delim(']') {
			return out, nil
		}
		t, err := one(tok, off)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
}

// The document version that knows variables, and the one before.
const (
	version2012 = "2012-10-17"
	version2008 = "2008-10-17"
)

func (p *parser) document() (*Document, error) {
	// The version may stand behind the statements, but they need it.
	d := &Document{Version: version2008}
	p.variables = true
	var variableAt int64 = -1
	have := false
	start, err := p.object("the document", func(key string, off int64) error {
		switch key {
		case "Version":
			v, err := p.str()
			if err != nil {
				return err
			}
			if v.s != version2012 && v.s != version2008 {
				return p.errorAt(v.off, "must be %q or %q", version2012, version2008)
			}
			d.Version = v.s
			return nil
		case "Id":
			v, err := p.str()
			d.ID = v.s
			return err
		case "Statement":
			have = true
			if i := bytes.Index(p.src[off:], []byte("${")); i >= 0 {
				variableAt = off + int64(i)
			}
			var err error
			d.statements, err = p.statements()
			return err
		default:
			return p.errorAt(off, "unknown element; known are Version, Id and Statement")
		}
	})
	if err != nil {
		return nil, err
	}
	if !have {
		return nil, p.errorAt(start, "Statement is missing")
	}
	if d.Version != version2012 && variableAt >= 0 {
		return nil, p.errorAt(variableAt, "variables need \"Version\": %q", version2012)
	}
	return d, nil
}

func (p *parser) statements() ([]statement, error) {
	tok, off, err := p.next()
	if err != nil {
		return nil, err
	}
	switch tok {
	case json.Delim('{'):
		s, err := p.statement(off)
		return []statement{s}, err
	case json.Delim('['):
	default:
		return nil, p.errorAt(off, "must be an object or an array of objects")
	}
	var out []statement
	for {
		tok, at, err := p.next()
		if err != nil {
			return nil, err
		}
		if tok == json.Delim(']') {
			if len(out) == 0 {
				return nil, p.errorAt(off, "has no statement")
			}
			return out, nil
		}
		p.push("[" + strconv.Itoa(len(out)) + "]")
		if tok != json.Delim('{') {
			return nil, p.errorAt(at, "must be an object")
		}
		s, err := p.statement(at)
		if err != nil {
			return nil, err
		}
		p.pop()
		out = append(out, s)
	}
}

// statement reads one statement after its opening brace, which is at off.
func (p *parser) statement(off int64) (statement, error) {
	var s statement
	var effect, action, resource bool
	err := p.members(func(key string, at int64) error {
		switch key {
		case "Sid":
			v, err := p.str()
			s.sid = v.s
			return err
		case "Effect":
			effect = true
			v, err := p.str()
			if err != nil {
				return err
			}
			if s.deny = v.s == "Deny"; !s.deny && v.s != "Allow" {
				return p.errorAt(v.off, "must be \"Allow\" or \"Deny\"")
			}
			return nil
		case "Action", "NotAction":
			if action {
				return p.errorAt(at, "Action and NotAction exclude one another")
			}
			action, s.notAction = true, key == "NotAction"
			var err error
			s.actions, err = p.actions()
			s.index()
			return err
		case "Resource", "NotResource":
			if resource {
				return p.errorAt(at, "Resource and NotResource exclude one another")
			}
			resource, s.notResource = true, key == "NotResource"
			var err error
			s.resources, err = p.resources()
			return err
		case "Condition":
			var err error
			s.conditions, err = p.conditions()
			return err
		case "Principal", "NotPrincipal":
			return p.errorAt(at, "is not part of a policy: it is attached to a principal")
		default:
			return p.errorAt(at, "unknown element of a statement")
		}
	})
	if err != nil {
		return s, err
	}
	for _, need := range []struct {
		name string
		have bool
	}{{"Effect", effect}, {"Action", action}, {"Resource", resource}} {
		if !need.have {
			return s, p.errorAt(off, "%s is missing", need.name)
		}
	}
	return s, nil
}

func (p *parser) actions() ([]string, error) {
	list, err := p.list(false)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, t := range list {
		if t.s != "*" && !strings.Contains(t.s, ":") {
			return nil, p.errorAt(t.off, "%q is not an action such as \"iot:Publish\"", t.s)
		}
		out = append(out, t.s)
	}
	if len(out) == 0 {
		return nil, p.errorAt(p.dec.InputOffset()-1, "has no action")
	}
	return out, nil
}

func (p *parser) resources() ([]pattern, error) {
	list, err := p.list(false)
	if err != nil {
		return nil, err
	}
	var out []pattern
	for _, t := range list {
		if t.s == "" {
			return nil, p.errorAt(t.off, "is empty")
		}
		pat, err := compile(t.s, wildcards)
		if err != nil {
			return nil, p.errorAt(t.off, "%v", err)
		}
		// A resource that cannot begin an ARN matches nothing, which nobody
		// means who writes "topic/a".
		if head := pat.literalPrefix(); !strings.HasPrefix("arn:", head) && !strings.HasPrefix(head, "arn:") {
			return nil, p.errorAt(t.off, "%q is neither \"*\" nor an ARN", t.s)
		}
		out = append(out, pat)
	}
	if len(out) == 0 {
		return nil, p.errorAt(p.dec.InputOffset()-1, "has no resource")
	}
	return out, nil
}

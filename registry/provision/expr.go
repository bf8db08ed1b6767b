package provision

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An expr is a value of a template: a text, a list, or a function of such.
type expr interface {
	// eval returns a text or a list of texts.
	eval(*scope) (value, error)
}

// A value is a text, or a list of them.
type value struct {
	text   string
	list   []string
	isList bool
}

// A scope is what functions look up.
type scope struct {
	params   map[string]string
	mappings map[string]map[string]map[string]string
	vars     map[string]string // of an enclosing Fn::Sub
}

type (
	literal string
	listOf  []expr
	ref     struct{ name, path string }
	join    struct {
		sep  string
		list expr
		path string
	}
	selectAt struct {
		index, list expr
		path        string
	}
	findInMap struct {
		keys [3]expr
		path string
	}
	split struct {
		sep  string
		text expr
		path string
	}
	sub struct {
		text string
		vars map[string]expr
		path string
	}
)

func (l literal) eval(*scope) (value, error) { return value{text: string(l)}, nil }

func (l listOf) eval(s *scope) (value, error) {
	all := value{list: []string{}, isList: true}
	for _, e := range l {
		v, err := e.eval(s)
		if err != nil {
			return value{}, err
		}
		if v.isList {
			all.list = append(all.list, v.list...)
		} else {
			all.list = append(all.list, v.text)
		}
	}
	return all, nil
}

func (s *scope) lookup(name, path string) (value, error) {
	if v, ok := s.vars[name]; ok {
		return value{text: v}, nil
	}
	if v, ok := s.params[name]; ok {
		return value{text: v}, nil
	}
	return value{}, invalidTemplate(path, "the parameter %q has no value", name)
}

func (r ref) eval(s *scope) (value, error) { return s.lookup(r.name, r.path) }

func textOf(e expr, s *scope, path string) (string, error) {
	v, err := e.eval(s)
	if err == nil && v.isList {
		err = invalidTemplate(path, "is a list, not a text")
	}
	return v.text, err
}

func elementsOf(e expr, s *scope, path string) ([]string, error) {
	v, err := e.eval(s)
	if err == nil && !v.isList {
		err = invalidTemplate(path, "is a text, not a list")
	}
	return v.list, err
}

func (j join) eval(s *scope) (value, error) {
	list, err := elementsOf(j.list, s, j.path)
	return value{text: strings.Join(list, j.sep)}, err
}

func (a selectAt) eval(s *scope) (value, error) {
	text, err := textOf(a.index, s, a.path)
	if err != nil {
		return value{}, err
	}
	list, err := elementsOf(a.list, s, a.path)
	if err != nil {
		return value{}, err
	}
	i, err := strconv.Atoi(text)
	if err != nil || i < 0 || i >= len(list) {
		return value{}, invalidTemplate(a.path, "the index %q is not 0 to %d", text, len(list)-1)
	}
	return value{text: list[i]}, nil
}

func (f findInMap) eval(s *scope) (value, error) {
	var keys [3]string
	for i, e := range f.keys {
		var err error
		if keys[i], err = textOf(e, s, f.path); err != nil {
			return value{}, err
		}
	}
	v, ok := s.mappings[keys[0]][keys[1]][keys[2]]
	if !ok {
		return value{}, invalidTemplate(f.path, "there is no mapping %s, %s, %s", keys[0], keys[1], keys[2])
	}
	return value{text: v}, nil
}

func (p split) eval(s *scope) (value, error) {
	text, err := textOf(p.text, s, p.path)
	return value{list: strings.Split(text, p.sep), isList: true}, err
}

// eval puts values in for ${name}; ${!name} stands for the text ${name}.
func (p sub) eval(s *scope) (value, error) {
	inner := &scope{params: s.params, mappings: s.mappings, vars: map[string]string{}}
	for name, e := range p.vars {
		text, err := textOf(e, s, p.path)
		if err != nil {
			return value{}, err
		}
		inner.vars[name] = text
	}
	var out strings.Builder
	rest := p.text
	for {
		before, after, found := strings.Cut(rest, "${")
		out.WriteString(before)
		if !found {
			return value{text: out.String()}, nil
		}
		name, behind, closed := strings.Cut(after, "}")
		if !closed {
			return value{}, invalidTemplate(p.path, "${ without }")
		}
		if plain, ok := strings.CutPrefix(name, "!"); ok {
			out.WriteString("${" + plain + "}")
		} else {
			v, err := inner.lookup(name, p.path)
			if err != nil {
				return value{}, err
			}
			out.WriteString(v.text)
		}
		rest = behind
	}
}

// maxDepth bounds how deep functions nest.
const maxDepth = 16

// parseExpr reads a value of a template.
func parseExpr(path string, raw json.RawMessage, depth int) (expr, error) {
	if depth > maxDepth {
		return nil, invalidTemplate(path, "nested deeper than %d", maxDepth)
	}
	switch kindOf(raw) {
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return literal(s), err
	case '[':
		return parseList(path, raw, depth)
	case '{':
		return parseFunction(path, raw, depth)
	case 'n':
		return nil, invalidTemplate(path, "is null")
	}
	return literal(raw), nil // a number or a boolean, as it is written
}

// kindOf is the first byte of a JSON value without space around it.
func kindOf(raw json.RawMessage) byte {
	if len(raw) == 0 {
		return 'n'
	}
	return raw[0]
}

func parseList(path string, raw json.RawMessage, depth int) (listOf, error) {
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil {
		return nil, invalidTemplate(path, "is not a list")
	}
	list := listOf{}
	for i, one := range elements {
		e, err := parseExpr(fmt.Sprintf("%s[%d]", path, i), one, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

var functions = []string{"Ref", "Fn::Join", "Fn::Select", "Fn::FindInMap", "Fn::Split", "Fn::Sub"}

func parseFunction(path string, raw json.RawMessage, depth int) (expr, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, invalidTemplate(path, "is not an object: %v", err)
	}
	if len(members) != 1 {
		return nil, invalidTemplate(path, "an object here is a function, with one member: one of %s", strings.Join(functions, ", "))
	}
	for name, arg := range members {
		if !slices.Contains(functions, name) {
			return nil, invalidTemplate(path, "there is no function %q; there are %s", name, strings.Join(functions, ", "))
		}
		return parseCall(path+"."+name, name, arg, depth)
	}
	panic("unreachable")
}

func parseCall(path, name string, arg json.RawMessage, depth int) (expr, error) {
	if name == "Ref" || name == "Fn::Sub" && kindOf(arg) == '"' {
		var s string
		if json.Unmarshal(arg, &s) != nil {
			return nil, invalidTemplate(path, "is not a text")
		}
		if name == "Ref" {
			return ref{s, path}, nil
		}
		return sub{s, nil, path}, nil
	}
	var args []json.RawMessage
	want := map[string]int{"Fn::Join": 2, "Fn::Select": 2, "Fn::FindInMap": 3, "Fn::Split": 2, "Fn::Sub": 2}[name]
	if json.Unmarshal(arg, &args) != nil || len(args) != want {
		return nil, invalidTemplate(path, "takes a list of %d", want)
	}
	if name == "Fn::Sub" {
		return parseSub(path, args, depth)
	}
	exprs := make([]expr, want)
	for i := range args {
		var err error
		if exprs[i], err = parseExpr(fmt.Sprintf("%s[%d]", path, i), args[i], depth+1); err != nil {
			return nil, err
		}
	}
	switch name {
	case "Fn::Select":
		return selectAt{exprs[0], exprs[1], path}, nil
	case "Fn::FindInMap":
		return findInMap{[3]expr(exprs), path}, nil
	}
	sep, ok := exprs[0].(literal)
	if !ok {
		return nil, invalidTemplate(path+"[0]", "is not a text")
	}
	if name == "Fn::Join" {
		return join{string(sep), exprs[1], path}, nil
	}
	if sep == "" {
		return nil, invalidTemplate(path+"[0]", "is empty")
	}
	return split{string(sep), exprs[1], path}, nil
}

func parseSub(path string, args []json.RawMessage, depth int) (expr, error) {
	s := sub{vars: map[string]expr{}, path: path}
	if kindOf(args[0]) != '"' || json.Unmarshal(args[0], &s.text) != nil {
		return nil, invalidTemplate(path+"[0]", "is not a text")
	}
	var vars map[string]json.RawMessage
	if json.Unmarshal(args[1], &vars) != nil {
		return nil, invalidTemplate(path+"[1]", "is not an object of variables")
	}
	for name, raw := range vars {
		e, err := parseExpr(path+"[1]."+name, raw, depth+1)
		if err != nil {
			return nil, err
		}
		s.vars[name] = e
	}
	return s, nil
}

package rules

import (
	"reflect"
	"strings"

	"github.com/thingloom/thingloom/internal/sql"
)

// A FunctionDoc documents a function that a statement may call.
type FunctionDoc struct {
	Name string

	// Signature is what a call looks like and what it gives, as
	// "substring(str, num[, num]) str". num is a number or a numeric text, str
	// what converts to text, int a whole number, any any value. Other
	// arguments, and more or fewer, make a call Undefined.
	Signature string

	Doc   string // one line
	Since string // first version of the language; empty for a function of yours
}

// Functions documents the functions that statements compiled with opts may
// call, ordered by name: those of the language, of those that ask the outside
// the ones that are answered, and yours, with their own Doc and the types of
// their Fn.
func Functions(opts *CompileOptions) ([]FunctionDoc, error) {
	if opts == nil {
		opts = new(CompileOptions)
	}
	o, err := opts.sql()
	if err != nil {
		return nil, err
	}
	yours := map[string]Function{}
	if opts.Funcs != nil {
		for _, f := range opts.Funcs.User {
			yours[f.Name] = f
		}
	}
	var all []FunctionDoc
	for _, s := range sql.Signatures(o) {
		d := FunctionDoc{s.Name, s.Name + "(" + s.Params + ") " + s.Result, s.Doc, s.Since}
		if f, ok := yours[s.Name]; ok {
			d.Signature, d.Doc = f.signature(), f.Doc
		}
		all = append(all, d)
	}
	return all, nil
}

// signature is that of a function that adapt has accepted.
func (f Function) signature() string {
	t := reflect.TypeOf(f.Fn)
	var params []string
	for i := range t.NumIn() {
		if t.In(i) != contextType {
			params = append(params, typeName(t.In(i)))
		}
	}
	return f.Name + "(" + strings.Join(params, ", ") + ") " + typeName(t.Out(0))
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "str"
	case reflect.Float64:
		return "num"
	case reflect.Int64:
		return "int"
	case reflect.Bool:
		return "bool"
	}
	return "any"
}

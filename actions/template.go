package actions

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/thingloom/thingloom/internal/sql"
)

// A Template is a text parameter with substitutions, such as
// "alerts/${topic(3)}": each ${...} holds an expression of rule SQL, evaluated
// on the message that the rule selected from, not on what it selected. It is
// compiled as it is decoded, so that a mistake fails the rule's put with its
// place in the text; opened for a rule, in the language of that: its version,
// the functions that are answered there, the variables of its SET. The zero Template expands to the empty text.
type Template struct{ compiled *sql.Template }

// NewTemplate compiles text, in the language of no rule in particular.
func NewTemplate(text string) (Template, error) { return newTemplate(text, nil) }

func newTemplate(text string, b *sql.Binding) (Template, error) {
	compiled, err := b.Compile(text)
	if err != nil {
		return Template{}, err
	}
	return Template{compiled}, nil
}

// UnmarshalJSON compiles a JSON string.
func (t *Template) UnmarshalJSON(b []byte) error { return t.decode(b, nil) }

func (t *Template) decode(raw []byte, b *sql.Binding) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return fmt.Errorf("want a text: %w", err)
	}
	compiled, err := newTemplate(text, b)
	if err != nil {
		return err
	}
	*t = compiled
	return nil
}

// MarshalJSON writes the text.
func (t Template) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// String returns the text as it was written.
func (t Template) String() string {
	if t.compiled == nil {
		return ""
	}
	return t.compiled.Text()
}

// Constant returns the text of a template without substitutions, and whether it is one.
func (t Template) Constant() (string, bool) {
	if t.compiled == nil {
		return "", true
	}
	return t.compiled.Constant()
}

// Prefix is the text before the first substitution: what each result begins
// with. A template without substitutions is all prefix.
func (t Template) Prefix() string {
	if t.compiled == nil {
		return ""
	}
	return t.compiled.Prefix()
}

// Expand evaluates the template on the source message of r. What is missing in
// the message is the empty text; only functions that ask the outside can fail.
func (t Template) Expand(ctx context.Context, r *Request) (string, error) {
	if text, ok := t.Constant(); ok {
		return text, nil
	}
	return t.compiled.Expand(ctx, r.input())
}

// input is what expressions see of a request.
func (r *Request) input() *sql.Input {
	in := &sql.Input{
		Payload: r.Source, Topic: r.Topic, ClientID: r.ClientID, Principal: r.Principal,
		SourceIP: r.SourceIP, TraceID: r.TraceID, Time: r.Time,
	}
	if p := r.Properties; p != nil {
		in.Properties = sql.Properties{UTF8: p.UTF8, ContentType: p.ContentType, ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData}
		for _, u := range p.User {
			in.Properties.User = append(in.Properties.User, sql.UserProperty(u))
		}
	}
	for _, v := range r.Vars {
		if v.Value == nil {
			continue // Undefined, as a name without a value is
		}
		// Rules hand over what they serialised; anything else stays Undefined.
		if value, err := sql.ParseValue(v.Value); err == nil {
			in.Variables = append(in.Variables, sql.Variable{Name: v.Name, Value: value})
		}
	}
	return in
}

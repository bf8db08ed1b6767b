package rules

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/internal/sql"
)

// templates is a Binder whose actions write down what their parameter "text"
// becomes, as an inline action of package actions does.
type templates struct {
	mu  sync.Mutex
	got []string
}

func (b *templates) Bind(ctx context.Context, s ActionSpec) (Action, error) {
	var params struct{ Text string }
	if err := json.Unmarshal(s.Params, &params); err != nil {
		return nil, err
	}
	tmpl, err := sql.BindingOf(ctx).Compile(params.Text)
	if err != nil {
		return nil, err
	}
	rule := BoundRule(ctx)
	return ActionFunc(func(ctx context.Context, f Firing) error {
		in := &sql.Input{Payload: f.Message.Payload}
		for _, v := range f.Variables {
			if v.Value != nil {
				value, err := sql.ParseValue(v.Value)
				if err != nil {
					return err
				}
				in.Variables = append(in.Variables, sql.Variable{Name: v.Name, Value: value})
			}
		}
		text, err := tmpl.Expand(ctx, in)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.got = append(b.got, rule+" "+text)
		return err
	}), nil
}

func withText(name, statement, version, text string) Rule {
	params, _ := json.Marshal(map[string]string{"text": text})
	return Rule{Name: name, SQL: statement, SQLVersion: version, Actions: []ActionSpec{{Type: "x", Params: params}}}
}

// TestTemplatesSpeakTheLanguageOfTheRule: its version, its functions, its
// variables, also in the error action.
func TestTemplatesSpeakTheLanguageOfTheRule(t *testing.T) {
	b := new(templates)
	e := open(t, NewMemStore(), b, &Options{Compile: &CompileOptions{AccountID: "123", DecimalDivision: true, Funcs: &Funcs{
		Shadow: func(_ context.Context, thing, _, _ string) (json.RawMessage, error) {
			return json.RawMessage(`{"of":"` + thing + `"}`), nil
		},
		User: []Function{{Name: "twice", Inline: true, Fn: func(x float64) float64 { return 2 * x }}},
	}}})
	for _, c := range []struct{ statement, version, text, want, err string }{
		{"SELECT 1 FROM 'a'", "", "${accountid()} ${7 / 2} ${twice(n)}", "123 3.5 4", ""},
		{"SELECT 1 FROM 'a'", "", "${get_thing_shadow('t', 'r').of}", "t", ""},
		{"SELECT 1 FROM 'a'", Version2015, "${10.0} ${sql_version()}", "10.0 2015-10-08", ""},
		{"SELECT 1 FROM 'a'", Version2015, "${[1]}", "", "array literals need"},
		{"SET @x = n SELECT 1 FROM 'a'", "", "${@x}", "2", ""},
		{"SET @x = n SELECT 1 FROM 'a'", "", "${@y}", "", "variable @y is not declared"},
		{"SELECT 1 FROM 'a'", "", "${@x}", "", "variable @x is not declared"},
		{"SELECT 1 FROM 'a'", "", "${get_secret('i', 'SecretString', 'r')}", "", "nothing answers"},
		{"SELECT 1 FROM 'a'", "", "@{x}", "", "there is no @{...} here"},
	} {
		b.got = nil // nobody is at work
		err := e.Put(t.Context(), withText("r", c.statement, c.version, c.text))
		var re *RuleError
		if c.err != "" {
			if !errors.As(err, &re) || re.Field != "actions[0]" || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s in %s: %v, want %s", c.text, c.statement, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s in %s: %v", c.text, c.statement, err)
			continue
		}
		handle(t, e, "a", `{"n":2}`)
		if len(b.got) != 1 || b.got[0] != "r "+c.want {
			t.Errorf("%s in %s is %q, want %q", c.text, c.statement, b.got, c.want)
		}
	}
	r := withText("r", "SELECT 1 FROM 'a'", "", "x")
	r.ErrorAction, r.Actions = &r.Actions[0], nil
	r.ErrorAction.Params = json.RawMessage(`{"text":"${@x}"}`)
	var re *RuleError
	if err := e.Put(t.Context(), r); !errors.As(err, &re) || re.Field != "errorAction" {
		t.Errorf("the error action: %v", err)
	}
	if BoundRule(t.Context()) != "" {
		t.Error("a rule is bound everywhere")
	}
}

// TestSlowTemplate: a function that a template asks holds up the neighbours no
// more than one of the statement does.
func TestSlowTemplate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{gate: make(chan struct{})}
		b := new(templates)
		e := open(t, NewMemStore(), b, s.options())
		for name, text := range map[string]string{"a": "${ask(1)}", "b": "${inline(2)}", "c": "3"} {
			if err := e.Put(t.Context(), withText(name, "SELECT 1 FROM 'a'", "", text)); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		for range 3 {
			handle(t, e, "a", "{}")
		}
		if waited := time.Since(begin); waited != 50*time.Millisecond || len(b.got) != 6 {
			t.Errorf("Handle waited %v, and %q was made", waited, b.got)
		}
		close(s.gate)
		synctest.Wait()
		wantLedger(t, e, "a", Ledger{Matched: 3, Delivered: 3})
	})
}

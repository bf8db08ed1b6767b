package actions

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/thingloom/thingloom/internal/sql"
)

func TestUnknownAction(t *testing.T) {
	spec := func(name string) Spec {
		return Spec{Name: name, Open: func(context.Context, json.RawMessage) (Action, error) { return nil, nil }}
	}
	c, err := NewCatalog(spec("republish"), spec("lambda"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"kafka":     `actions: unknown action "kafka", which AWS IoT has and this program does not offer; offered are lambda, republish`,
		"republsih": `actions: unknown action "republsih"; did you mean republish?; offered are lambda, republish`,
		"x":         `actions: unknown action "x"; offered are lambda, republish`,
	} {
		_, err := c.Spec(name)
		var unknown *UnknownActionError
		if !errors.As(err, &unknown) || !errors.Is(err, ErrUnknownAction) || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if unknown.Name != name || !slices.Equal(unknown.Offered, []string{"lambda", "republish"}) {
			t.Errorf("%+v", unknown)
		}
	}
	none, _ := NewCatalog()
	if _, err := none.Spec("x"); err == nil || err.Error() != `actions: unknown action "x"; none is offered` {
		t.Errorf("got %v", err)
	}
}

func TestRoleARN(t *testing.T) {
	type params struct {
		RoleARN RoleARN `json:"roleArn" required:"true"`
	}
	for text, want := range map[string]string{
		`{"roleArn":"arn:aws:iam::1:role/r"}`: "",
		`{}`:                                  "actions: invalid parameter roleArn: required, and missing",
		`{"roleArn":null}`:                    "actions: invalid parameter roleArn: required, and missing",
		`{"roleArn":""}`:                      "actions: invalid parameter roleArn: empty",
		`{"roleArn":7}`:                       "actions: invalid parameter roleArn: is a number, wants a string",
		`{"roleArn":"arn:${topic()}"}`:        "actions: invalid parameter roleArn: takes no substitutions",
	} {
		var p params
		got := ""
		if err := Decode(json.RawMessage(text), &p); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestForErrorAction(t *testing.T) {
	if ForErrorAction(t.Context()) || ForErrorAction(sql.WithBinding(t.Context(), &sql.Binding{})) {
		t.Error("an action that is none")
	}
	if !ForErrorAction(sql.WithBinding(t.Context(), &sql.Binding{ErrorAction: true})) {
		t.Error("the error action")
	}
}

func TestTemplatePrefix(t *testing.T) {
	for text, want := range map[string]string{"": "", "a": "a", "a${'b'}c": "abc", "a/${topic()}/b": "a/", "${topic()}": "", "a${7}b${x}c": "a7b"} {
		tmpl, err := NewTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := tmpl.Prefix(); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if (Template{}).Prefix() != "" {
		t.Error("the zero template")
	}
}

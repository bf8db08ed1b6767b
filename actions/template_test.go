package actions

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestTemplate(t *testing.T) {
	r := &Request{
		Topic: "sensors/s1/t", ClientID: "c1", Principal: "p1", SourceIP: "10.0.0.1", TraceID: "tr", Time: time.UnixMilli(1_700_000_000_500),
		Payload: []byte(`{"t":99}`), Source: []byte(`{"t":31.5,"nested":{"s":"}"},"big":9007199254740993,"z":null}`),
		Vars:       []Var{{Name: "limit", Value: json.RawMessage(`30`)}, {Name: "doc", Value: json.RawMessage(`{"a":["x"]}`)}, {Name: "none"}},
		Properties: &Properties{ContentType: "text/plain", User: []UserProperty{{"k", "v"}}},
	}
	for text, want := range map[string]string{
		"":                                     "",
		"plain $ text {x}":                     "plain $ text {x}",
		"alerts/${topic(2)}":                   "alerts/s1",
		"${t}":                                 "31.5", // of the message, not of what was selected
		"${big}":                               "9007199254740993",
		"${nested.s}":                          "}",
		"a${missing}b${z}c":                    "abc",
		"${'${'}":                              "${",
		"${clientid()}/${principal()}":         "c1/p1",
		"${sourceip()} ${traceid()}":           "10.0.0.1 tr",
		"${floor(timestamp() / 1E3)}":          "1700000000",
		"${t > @limit}":                        "true",
		"${get(@doc.a, 0)}":                    "x",
		"[${@none}]":                           "[]",
		"${get_mqtt_property('content_type')}": "text/plain",
		"${get_user_properties('k')}":          `["v"]`,
	} {
		tmpl, err := NewTemplate(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := tmpl.Expand(t.Context(), r); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", text, got, err, want)
		}
		if tmpl.String() != text {
			t.Errorf("%s is written as %s", text, tmpl)
		}
		again, err := json.Marshal(tmpl)
		if err != nil {
			t.Fatal(err)
		}
		var back Template
		if err := json.Unmarshal(again, &back); err != nil || back.String() != text {
			t.Errorf("%s: through JSON %v, %s", text, err, back)
		}
	}
}

func TestTemplateRefuses(t *testing.T) {
	for text, place := range map[string]string{"${": "line 1", "a/${topic(2}": "column 12", "${nosuch(1)}": "column 3", "${t >}": "column 6"} {
		if _, err := NewTemplate(text); err == nil || !strings.Contains(err.Error(), place) {
			t.Errorf("%s: got %v, want %s", text, err, place)
		}
	}
	var p struct {
		A []Template `json:"a"`
	}
	var param *ParamError
	if err := Decode(json.RawMessage(`{"a":["x","${"]}`), &p); !errors.As(err, &param) || param.Path != "a[1]" {
		t.Errorf("got %v", err)
	}
}

func TestTemplateOnOtherPayloads(t *testing.T) {
	tmpl, err := NewTemplate("${t}|${topic(1)}|${encode(*, 'base64')}")
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{"": "|a|", "\xff\x00": "|a|/wA=", "80": "|a|ODA="} {
		if got, err := tmpl.Expand(t.Context(), &Request{Topic: "a", Source: []byte(source)}); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", source, got, err, want)
		}
	}
}

func TestConstantTemplateCostsNothing(t *testing.T) {
	tmpl, err := NewTemplate("alerts")
	if err != nil {
		t.Fatal(err)
	}
	r := &Request{Source: []byte(`{}`)}
	if n := testing.AllocsPerRun(100, func() { tmpl.Expand(context.Background(), r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCatalogRefuses(t *testing.T) {
	ok := NewSpec("a", "s", func(context.Context, *struct{}) (Action, error) { return nil, nil })
	bad := func(change func(*Spec)) Spec { s := ok; change(&s); return s }
	for name, tt := range map[string]struct {
		specs []Spec
		want  string
	}{
		"twice":     {[]Spec{ok, ok}, "duplicate"},
		"name":      {[]Spec{bad(func(s *Spec) { s.Name = "a b" })}, "name"},
		"long name": {[]Spec{bad(func(s *Spec) { s.Name = strings.Repeat("a", 65) })}, "name"},
		"open":      {[]Spec{bad(func(s *Spec) { s.Open = nil })}, "no Open"},
		"workers":   {[]Spec{bad(func(s *Spec) { s.Workers = -1 })}, "negative"},
		"retry":     {[]Spec{bad(func(s *Spec) { s.Retry = &RetryPolicy{Min: -1} })}, "negative"},
		"params":    {[]Spec{bad(func(s *Spec) { s.Params = 7 })}, "not a struct"},
		"untagged":  {[]Spec{bad(func(s *Spec) { s.Params = struct{ A string }{} })}, "no json tag"},
	} {
		if _, err := NewCatalog(tt.specs...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := NewCatalog(ok, ok); !errors.Is(err, ErrDuplicate) {
		t.Errorf("got %v", err)
	}
	c, err := NewCatalog(ok, Spec{Name: "b", Open: func(context.Context, json.RawMessage) (Action, error) { panic("oh") }})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(t.Context(), "aa", nil); !errors.Is(err, ErrUnknownAction) || !strings.Contains(err.Error(), "did you mean a?") {
		t.Errorf("got %v", err)
	}
	if err := c.Check(t.Context(), "b", nil); !errors.Is(err, ErrPanic) {
		t.Errorf("a panic in Open: %v", err)
	}
	if err := c.Check(t.Context(), "a", nil); err == nil || !strings.Contains(err.Error(), "neither") {
		t.Errorf("neither action nor error: %v", err)
	}
}

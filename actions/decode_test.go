package actions

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

type embedded struct {
	Shared string `json:"shared" doc:"of an embedded struct"`
}

type someParams struct {
	embedded
	URL     Template          `json:"url" required:"true" doc:"where to"`
	Count   int8              `json:"count" default:"3" doc:"how many"`
	Ratio   float64           `json:"ratio" doc:"a|b"`
	On      *bool             `json:"on" doc:"or not"`
	Wait    Duration          `json:"wait" doc:"how long"`
	Headers []someHeader      `json:"headers" doc:"some"`
	Tags    map[string]string `json:"tags" doc:"some"`
	Nested  *someHeader       `json:"nested" doc:"one"`
	Raw     json.RawMessage   `json:"raw" doc:"any"`
	Bytes   []byte            `json:"bytes" doc:"base64"`
	hidden  int
	Ignored func() `json:"-"`
}

type someHeader struct {
	Key   string   `json:"key" required:"true" doc:"name"`
	Value Template `json:"value" doc:"value"`
}

func TestDecode(t *testing.T) {
	var p someParams
	err := Decode(json.RawMessage(`{"url":"a/${topic(1)}","count":7,"ratio":1.5,"on":false,"wait":"1m30s","shared":"s",
		"headers":[{"key":"k","value":"v"}],"tags":{"a":"b"},"nested":{"key":"n"},"raw":{"x":[1]},"bytes":"AAE="}`), &p)
	if err != nil {
		t.Fatal(err)
	}
	if p.URL.String() != "a/${topic(1)}" || p.Count != 7 || p.Ratio != 1.5 || p.On == nil || *p.On || time.Duration(p.Wait) != 90*time.Second ||
		p.Shared != "s" || len(p.Headers) != 1 || p.Headers[0].Key != "k" || p.Headers[0].Value.String() != "v" ||
		!reflect.DeepEqual(p.Tags, map[string]string{"a": "b"}) || p.Nested.Key != "n" || string(p.Raw) != `{"x":[1]}` || string(p.Bytes) != "\x00\x01" || p.hidden != 0 {
		t.Errorf("got %+v", p)
	}
	p = someParams{}
	if err := Decode(json.RawMessage(`{"url":"","count":null,"on":null,"headers":null,"nested":null,"tags":null}`), &p); err != nil || p.On != nil || p.Headers != nil || p.Nested != nil {
		t.Errorf("null: %v, %+v", err, p)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, tt := range []struct{ params, path, want string }{
		{``, "url", "required"},
		{`{}`, "url", "required"},
		{`{"url":null}`, "url", ""},
		{`[]`, "", "is an array, wants an object"},
		{`"x"`, "", "is a string, wants an object"},
		{`{"url":`, "", "offset"},
		{`{"url":""}}`, "", "offset"},
		{`{"url":"","urls":""}`, "urls", "did you mean url"},
		{`{"url":"","URL":""}`, "URL", "unknown field"},
		{`{"url":"","zzzzzzzz":1}`, "zzzzzzzz", "there are"},
		{`{"url":"","url":""}`, "url", "given twice"},
		{`{"url":"${topic("}`, "url", "column"},
		{`{"url":7}`, "url", ""},
		{`{"url":"","count":"7"}`, "count", "is a string, wants an integer"},
		{`{"url":"","count":300}`, "count", "wants an integer"},
		{`{"url":"","count":1.5}`, "count", "wants an integer"},
		{`{"url":"","ratio":true}`, "ratio", "is a boolean, wants a number"},
		{`{"url":"","ratio":1e999}`, "ratio", "out of range"},
		{`{"url":"","on":0}`, "on", "wants a boolean"},
		{`{"url":"","wait":"soon"}`, "wait", "no duration"},
		{`{"url":"","wait":"-1s"}`, "wait", "negative"},
		{`{"url":"","headers":{}}`, "headers", "is an object, wants an array"},
		{`{"url":"","headers":[{"key":"k"},{"key":"k","valeu":""}]}`, "headers[1].valeu", "did you mean value"},
		{`{"url":"","headers":[{"value":"v"}]}`, "headers[0].key", "required"},
		{`{"url":"","tags":{"a":1}}`, "tags.a", "wants a string"},
		{`{"url":"","nested":{"key":1}}`, "nested.key", "wants a string"},
		{`{"url":"","ignored":1}`, "ignored", "unknown field"},
		{`{"url":"","bytes":"!"}`, "bytes", "base64"},
	} {
		var param *ParamError
		err := Decode(json.RawMessage(tt.params), &someParams{})
		if !errors.As(err, &param) || !errors.Is(err, ErrParams) || param.Path != tt.path || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s at %q", tt.params, err, tt.want, tt.path)
		}
	}
}

func TestDecodeWantsAStruct(t *testing.T) {
	for _, into := range []any{nil, someParams{}, new(int), (*someParams)(nil)} {
		if err := Decode(nil, into); err == nil || errors.Is(err, ErrParams) {
			t.Errorf("%T: got %v", into, err)
		}
	}
}

func TestDescribe(t *testing.T) {
	got, err := Describe(Spec{Name: "x", Params: someParams{}})
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string]Param{}
	for _, p := range got {
		byPath[p.Path] = p
	}
	for path, typ := range map[string]string{
		"shared": "string", "url": "template", "count": "integer", "ratio": "number", "on": "boolean", "wait": "duration",
		"headers[]": "object", "headers[].key": "string", "headers[].value": "template", "tags.*": "string",
		"nested": "object", "nested.key": "string", "raw": "json",
	} {
		if byPath[path].Type != typ {
			t.Errorf("%s is %q, want %q", path, byPath[path].Type, typ)
		}
	}
	if !byPath["url"].Required || byPath["count"].Default != "3" {
		t.Errorf("got %+v, %+v", byPath["url"], byPath["count"])
	}
	c, err := NewCatalog(Spec{Name: "x", Summary: "s", Params: someParams{}, Inline: true, Open: NewSpec[someParams]("", "", nil).Open})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := c.WriteDoc(&b); err != nil || !strings.Contains(b.String(), "| `ratio` | number |  | a\\|b |\n") || !strings.Contains(b.String(), "Runs before") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// Decode never panics, and what it takes holds only known fields.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"url":"a/${topic(1)}","count":7,"headers":[{"key":"k","value":"v"}],"tags":{"a":"b"},"nested":{"key":"n"}}`))
	f.Add([]byte(`{"url":"","url":""}`))
	f.Add([]byte(`{"url":"","headers":[null],"on":null,"wait":"1s"}`))
	f.Fuzz(func(t *testing.T, params []byte) {
		var p someParams
		if err := Decode(params, &p); err != nil {
			if !errors.Is(err, ErrParams) {
				t.Fatalf("not ErrParams: %v", err)
			}
			return
		}
		if len(params) > 0 && !json.Valid(params) {
			t.Fatalf("took %q", params)
		}
		var again someParams
		if err := json.Unmarshal(params, &again); err != nil {
			t.Fatalf("encoding/json refuses what Decode took: %v", err)
		}
	})
}

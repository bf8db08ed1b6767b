package shadow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestEqualNumbers(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"1", "1.0", true}, {"1", "1e0", true}, {"1", "10E-1", true}, {"100", "1e+2", true}, {"-0", "0.00", true},
		{"0.001", "1e-3", true}, {"9007199254740993", "9007199254740992", false}, {"1", "-1", false},
		{"0.1", "0.10000000000000001", false}, {"1e400", "10e399", true}, {"1e400", "1e401", false},
		{"1e99999999999999999999", "10e99999999999999999998", true}, {"0e5", "0", true},
	} {
		if got := equalNumbers(tt.a, tt.b); got != tt.want {
			t.Errorf("%s and %s: equal is %v", tt.a, tt.b, got)
		}
	}
}

func TestParseRequestRefuses(t *testing.T) {
	deep := strings.Repeat(`{"k":`, 9) + "1" + strings.Repeat("}", 9)
	for _, tt := range []struct {
		payload  string
		sentinel error
		message  string
		token    string
	}{
		{``, ErrInvalidRequest, "Invalid JSON", ""},
		{`[]`, ErrInvalidRequest, "Invalid JSON", ""},
		{`{"state":{}} x`, ErrInvalidRequest, "Invalid JSON", ""},
		{`{"state":{"desired":{"a":01}}}`, ErrInvalidRequest, "Invalid JSON", ""},
		{"{\"state\":{\"desired\":{\"a\":\"\xff\"}}}", ErrEncoding, "Unsupported documented encoding; supported encoding is UTF-8", ""},
		{strings.Repeat(" ", 128<<10+1), ErrTooLarge, "The payload exceeds the maximum size allowed", ""},
		{`{"clientToken":1,"state":{}}`, ErrInvalidRequest, "Invalid clientToken", ""},
		{`{"version":1}`, ErrInvalidRequest, "Missing required node: state", ""},
		{`{"clientToken":"k","state":1}`, ErrInvalidRequest, "State node must be an object", "k"},
		{`{"clientToken":"k","state":{"desired":[]}}`, ErrInvalidRequest, "Desired node must be an object", "k"},
		{`{"clientToken":"k","state":{"reported":1}}`, ErrInvalidRequest, "Reported node must be an object", "k"},
		{`{"clientToken":"k","state":{"delta":{}}}`, ErrInvalidRequest, "State contains an invalid node: 'delta'", "k"},
		{`{"state":{"desired":` + deep + `}}`, ErrInvalidRequest, "JSON contains too many levels of nesting; maximum is 8", ""},
		{strings.Repeat(`[`, 100000), ErrInvalidRequest, "JSON contains too many levels of nesting; maximum is 8", ""},
		{`{"state":{"desired":{"a":[{"b":null}]}}}`, ErrInvalidRequest, "Invalid JSON", ""},
		{`{"state":{},"version":-1}`, ErrInvalidRequest, "Invalid version", ""},
		{`{"state":{},"version":1.5}`, ErrInvalidRequest, "Invalid version", ""},
		{`{"state":{},"version":1e30}`, ErrInvalidRequest, "Invalid version", ""},
		{`{"state":{},"version":null,"clientToken":"k"}`, ErrInvalidRequest, "Invalid version", "k"},
	} {
		_, err := ParseRequest([]byte(tt.payload), Limits{})
		if re := (*RequestError)(nil); !errors.As(err, &re) || !errors.Is(err, tt.sentinel) || re.Message != tt.message || re.ClientToken != tt.token {
			t.Errorf("%.80s: got %#v, want %q with token %q", tt.payload, err, tt.message, tt.token)
		}
	}
	eight := strings.Repeat(`{"k":`, 8) + "1" + strings.Repeat("}", 8)
	if r, err := ParseRequest([]byte(`{"state":{"desired":`+eight+`},"version":1.0}`), Limits{}); err != nil || r.Version != 1 || !r.Locked {
		t.Errorf("eight levels and version 1.0: %+v, %v", r, err)
	}
}

func TestMergeTable(t *testing.T) {
	for _, tt := range []struct{ what, patch, desired string }{
		{"numbers keep their text", `{"a":1.50e3,"b":12345678901234567890}`, `{"a":1.50e3,"b":12345678901234567890}`},
		{"the last of two names wins", `{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`},
		{"names are compared unescaped", `{"\u0061":1,"a":2}`, `{"a":2}`},
		{"an object of nulls adds nothing", `{"a":{"b":{"c":null}},"d":{}}`, `{"d":{}}`},
		{"a lone surrogate survives", `{"a":"\uD800x"}`, `{"a":"\ud800x"}`},
		{"a pair becomes its character", `{"a":"\ud83d\ude00\/"}`, `{"a":"😀/"}`},
	} {
		doc, err := Merge(Document{}, []byte(`{"state":{"desired":`+tt.patch+`}}`), time.Unix(1, 0))
		if err != nil || string(doc.Desired) != tt.desired {
			t.Errorf("%s: got %s, %v, want %s", tt.what, doc.Desired, err, tt.desired)
		}
	}
	many := []byte(`{"state":{"reported":{`)
	for i := range 400 {
		many = fmt.Appendf(many, `"k%d":%d,`, i, i)
	}
	doc, err := Merge(Document{}, append(many, `"k7":"last"}}}`...), time.Unix(1, 0))
	if err != nil || bytes.Count(doc.Reported, []byte(`"k7":`)) != 1 || !bytes.Contains(doc.Reported, []byte(`"k7":"last"`)) {
		t.Errorf("many members: %s, %v", doc.Reported, err)
	}
	if doc, err = Merge(doc, []byte(`{"state":{"reported":{"k399":null,"k0":null}}}`), time.Unix(2, 0)); err != nil ||
		bytes.Contains(doc.Reported, []byte(`"k399"`)) || bytes.Contains(doc.Metadata, []byte(`"k0":`)) {
		t.Errorf("removal among many: %s, %v", doc.Reported, err)
	}
}

// The laws of merge and delta, for whatever the parser accepts.
func FuzzMerge(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `{"a":{"b":null,"c":[1,{"d":2}]}}`, `{"a":{}}`, `{"a":1.0,"b":[],"c":"\u00e9\ud800"}`, `{"a":null}`} {
		f.Add(s, `{"a":{"x":1}}`, `{"a":2,"b":"y"}`)
		f.Add(`{"a":{"x":1},"b":1e2}`, s, s)
	}
	f.Fuzz(func(t *testing.T, first, second, reported string) {
		limits := Limits{MaxBytes: -1}
		apply := func(doc Document, section, patch string, at int64) Document {
			t.Helper()
			r, err := ParseRequest([]byte(`{"state":{"`+section+`":`+patch+`}}`), limits)
			if err != nil {
				if re := (*RequestError)(nil); !errors.As(err, &re) {
					t.Fatalf("%T is no RequestError", err)
				}
				t.Skip()
			}
			next, err := r.Apply(doc, time.Unix(at, 0))
			if err != nil {
				t.Fatal(err)
			}
			return next
		}
		doc := apply(apply(apply(Document{}, "desired", first, 1), "reported", reported, 2), "desired", second, 3)
		for _, raw := range []json.RawMessage{doc.Desired, doc.Reported, doc.Metadata} {
			if raw != nil && (!json.Valid(raw) || !utf8.Valid(raw)) {
				t.Fatalf("not JSON: %q", raw)
			}
		}
		if again := apply(doc, "desired", second, 3); !bytes.Equal(again.Desired, doc.Desired) || !bytes.Equal(again.Metadata, doc.Metadata) {
			t.Fatalf("applied twice: %s, once: %s", again.Desired, doc.Desired)
		}
		delta, err := Delta(doc.Desired, doc.Reported)
		if err != nil {
			t.Fatal(err)
		}
		if delta == nil {
			return
		}
		taken := apply(doc, "reported", string(delta), 4)
		if rest, err := Delta(taken.Desired, taken.Reported); err != nil || rest != nil {
			t.Fatalf("reported took %s, and the delta is %s, %v", delta, rest, err)
		}
		// Metadata has the shape of the state: giving it back changes nothing.
		s, err := taken.sections()
		if err != nil {
			t.Fatal(err)
		}
		if same := s.document(); !bytes.Equal(same.Metadata, taken.Metadata) || !bytes.Equal(same.Reported, taken.Reported) {
			t.Fatalf("%s and %s do not survive a round", taken.Metadata, taken.Reported)
		}
	})
}

// Merging Patch(from, to) into from gives to, whatever the two are.
func TestPatch(t *testing.T) {
	texts := []string{`{}`, `{"a":1}`, `{"a":1.0}`, `{"a":{"b":1,"c":[1,2]}}`, `{"a":{"b":2}}`, `{"a":[{"b":1}],"d":"é"}`, `{"a":{"b":{"c":{}}}}`, `{"d":false,"a":{"c":[2,1]}}`}
	for _, from := range texts {
		for _, to := range texts {
			patch, err := Patch(json.RawMessage(from), json.RawMessage(to))
			if err != nil {
				t.Fatal(err)
			}
			doc := Document{Version: 1, Desired: json.RawMessage(from)}
			if patch != nil {
				if doc, err = Merge(doc, fmt.Appendf(nil, `{"state":{"desired":%s}}`, patch), time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			if doc.Desired == nil {
				doc.Desired = json.RawMessage(`{}`)
			}
			if again, err := Patch(doc.Desired, json.RawMessage(to)); again != nil || err != nil {
				t.Errorf("%s to %s: the patch %s gives %s", from, to, patch, doc.Desired)
			}
		}
	}
	if _, err := Patch(nil, json.RawMessage(`[1]`)); !errors.Is(err, ErrInvalidRequest) {
		t.Errorf("an array: %v", err)
	}
}

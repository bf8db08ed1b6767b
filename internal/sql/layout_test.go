package sql

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const layoutStatement = "SELECT a, b.c AS c, d FROM 't' WHERE a > 3 AND a <> 5"

const layoutSample = ` {"x": "s", "a": 12.5,"b":{"c":[1],"e":null}, "n":-3,"t":[true, "u", 1e3],"d":"text","z":0} `

func layoutSearch(s *Statement) *search {
	return &search{slots: make([]string, s.body.prog.slots), refuter: refuter{preds: s.preds}}
}

// TestLayoutFits: payloads that differ from the sample in values alone are read
// by its layout; all others are not, and nothing of them is left in the slots.
func TestLayoutFits(t *testing.T) {
	s, err := CompileStatement(layoutStatement, nil)
	if err != nil {
		t.Fatal(err)
	}
	root := s.body.prog.paths
	l := layoutOf(layoutSample, root)
	if l == nil {
		t.Fatal("the sample has no layout")
	}
	for _, c := range []struct {
		name, old, new string
		fits           bool
	}{
		{"itself", "", "", true},
		{"a longer text", `"text"`, `"a text of more than a word"`, true},
		{"an empty text", `"text"`, `""`, true},
		{"a text of eight bytes", `"text"`, `"12345678"`, true},
		{"a text of other letters", `"text"`, `"°C"`, true},
		{"a text that is not UTF-8", `"text"`, "\"\xb0C\"", false},
		{"a text with an escape", `"text"`, `"te\"xt"`, false},
		{"a text with a control character", `"text"`, "\"te\x01xt\"", false},
		{"a text that does not end", `"text","z":0} `, `"text`, false},
		{"a longer number", "12.5", "123456789.0123456789", true},
		{"a whole number", "12.5", "7", true},
		{"a number of eight bytes", "12.5", "123456.7", true},
		{"a negative exponent", "12.5", "125e-1", true},
		{"an exponent after eight digits", "12.5", "12345678E+2", true},
		{"a number for null", "null", "17", true},
		{"false for true", "true", "false", true},
		{"zero for -3", "-3", "-0", true},
		{"a last number of several digits", `"z":0} `, `"z":1250} `, true},
		{"a leading zero", "12.5", "012.5", false},
		{"a leading zero in the end", `"z":0} `, `"z":00} `, false},
		{"a point without digits", "12.5", "12.", false},
		{"a point alone", "12.5", "12.,", false},
		{"an exponent without digits", "12.5", "12e", false},
		{"a sign alone", "-3", "-", false},
		{"a word for a number", "12.5", "nulL", false},
		{"an object for a wanted object", `{"c":[1],"e":null}`, `{"e":{},"c":"a\"b"}`, true},
		{"an array for a wanted object", `{"c":[1],"e":null}`, `[1, 2]`, true},
		{"a wanted object that is wrong", `{"c":[1],"e":null}`, `{"c":[1],"e"}`, false},
		{"a wanted object that is not UTF-8", `"e":null`, "\"e\":\"\xb0\"", false},
		{"a number for a wanted object", `{"c":[1],"e":null}`, `1`, false},
		{"a number and what would end an array", `{"c":[1],"e":null}`, `1]`, false},
		{"another type", `"text"`, "1", false},
		{"another name", `"d"`, `"D"`, false},
		{"another order", `"x": "s", "a": 12.5`, `"a": 12.5,"x": "s"`, false},
		{"other space", `"x": "s"`, `"x":  "s"`, false},
		{"one more member", `"z":0`, `"z":0,"a":1`, false},
		{"something after it", "} ", "} x", false},
		{"less space after it", "} ", "}", false},
	} {
		text := strings.Replace(layoutSample, c.old, c.new, 1)
		f := layoutSearch(s)
		if got := l.fits(text, f); got != c.fits {
			t.Errorf("%s: fits(%s) = %v", c.name, text, got)
		}
		checkLayout(t, s, layoutSample, text)
	}
	for name, sample := range map[string]string{
		"an escape":              `{"a":"\n"}`,
		"a name twice":           `{"a":1,"a":2}`,
		"more values than parts": `{"x":[` + strings.Repeat("1,", maxParts) + `1]}`,
		"too many bytes":         `{"a":"` + strings.Repeat("x", maxLayoutBytes) + `"}`,
	} {
		if layoutOf(sample, root) != nil {
			t.Errorf("%s: %s has a layout", name, sample)
		}
	}
}

// checkLayout: what was learned from sample changes nothing of how text is read.
func checkLayout(t *testing.T, s *Statement, sample, text string) {
	t.Helper()
	root := s.body.prog.paths
	var cache layoutCache
	cache.known.Store(layoutOf(sample, root))
	with, without := layoutSearch(s), layoutSearch(s)
	if len(text)%2 == 1 { // nobody asks, and the evaluation before was refuted
		with.refuter, without.refuter = refuter{refuted: true}, refuter{refuted: true}
	}
	p1, s1 := cache.read(text, with, root)
	p2, s2 := read(text, without, root)
	if p1 != p2 || s1 != s2 || !slices.Equal(with.slots, without.slots) ||
		with.held != without.held || with.refuted != without.refuted {
		t.Errorf("%q with the layout of %q:\n got %q %v %q held %b refuted %v\nwant %q %v %q held %b refuted %v", text, sample,
			p1, s1, with.slots, with.held, with.refuted, p2, s2, without.slots, without.held, without.refuted)
	}
}

// FuzzLayout learns a layout from one text and reads another with it.
func FuzzLayout(f *testing.F) {
	s, err := CompileStatement(layoutStatement, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(layoutSample, 0, 0, "")
	f.Add(layoutSample, 17, 4, "125e-1")
	f.Add(`{"a":4,"d":"12345678"}`, 13, 8, "°")
	f.Add("{\"a\":2,\"\\u0061\":4}", 5, 1, "4")
	f.Add(`{"b":{"c":1},"b":{"c":2}}`, 10, 1, "1.50")
	f.Fuzz(func(t *testing.T, sample string, at, size int, value string) {
		f := layoutSearch(s)
		f.preds = nil
		if _, state := read(sample, f, s.body.prog.paths); state != isObject {
			return
		}
		at = max(0, min(at, len(sample)))
		end := max(at, min(at+size, len(sample)))
		checkLayout(t, s, sample, sample)
		checkLayout(t, s, sample, sample[:at]+value+sample[end:])
	})
}

// TestLayoutLearns: the second payload of a kind is learned from, and its
// results stay those of the first; another kind takes over.
func TestLayoutLearns(t *testing.T) {
	s, err := CompileStatement("SELECT a, d FROM 't' WHERE a > 3", nil)
	if err != nil {
		t.Fatal(err)
	}
	cache := &s.body.prog.layouts
	for i, c := range []struct {
		payload, want string
		learned       bool
	}{
		{`{"a":4,"d":"x"}`, `{"a":4,"d":"x"}`, false},
		{`{"a":5.5,"d":"yy"}`, `{"a":5.5,"d":"yy"}`, true},
		{`{"a":61,"d":""}`, `{"a":61,"d":""}`, true},
		{`{"a":2,"d":""}`, ``, true},
		{`{"d":"z","a":9}`, `{"a":9,"d":"z"}`, true},
		{`{"d":"z","a":9`, ``, true},
		{`{"d":"zz","a":10}`, `{"a":10,"d":"zz"}`, true},
	} {
		out, matched, err := s.Eval(t.Context(), &Input{Payload: []byte(c.payload)})
		if err != nil || string(out) != c.want || matched != (c.want != "") {
			t.Errorf("%d: %s gives %q, %v, %v, want %q", i, c.payload, out, matched, err, c.want)
		}
		if got := cache.known.Load() != nil; got != c.learned {
			t.Errorf("%d: learned is %v", i, got)
		}
	}
	last := `{"d":"z","a":9}`
	for n := 0; !cache.known.Load().fits(last, layoutSearch(s)); n++ {
		if n > 1024 {
			t.Fatal("the layout that devices changed to is not learned")
		}
		if _, _, err := s.Eval(t.Context(), &Input{Payload: []byte(last)}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestClock: a clock says what time.Now says, however long it has rested.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		for _, d := range []time.Duration{0, 1, time.Millisecond, clockTrust - 1, clockTrust, time.Hour, 1} {
			time.Sleep(d)
			if got, want := c.now().UnixNano(), time.Now().UnixNano(); got != want {
				t.Errorf("after %v: %d, want %d", d, got, want)
			}
		}
	})
	c := clock{read: time.Now().Add(time.Hour)} // of another bubble, say
	if d := time.Since(c.now()); d < 0 || d > time.Minute {
		t.Errorf("a clock read in the future is %v behind", d)
	}
}

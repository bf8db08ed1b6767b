package sentinels

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A tester keeps what is reported.
type tester struct {
	testing.TB
	failures int
}

func (t *tester) Helper()               {}
func (t *tester) Errorf(string, ...any) { t.failures++ }

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.go": "package a\nimport \"errors\"\nvar (\n\tErrOne = errors.New(\"1\")\n\terrNot = errors.New(\"2\")\n)\n" +
			"type ErrKind struct{}\nfunc f() { ErrLocal := 1; _ = ErrLocal }\n",
		"b.go":      "package a\nvar ErrTwo, ErrThree = error(nil), error(nil)\n",
		"a_test.go": "package a\nvar ErrTest = error(nil)\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	some := errors.New("some")
	for _, c := range []struct {
		known    []string
		failures int
	}{
		{[]string{"ErrOne", "ErrTwo", "ErrThree"}, 0},
		{[]string{"ErrOne", "ErrThree"}, 1},
		{[]string{"ErrOne", "ErrTwo", "ErrThree", "ErrFour"}, 1},
		{nil, 3},
	} {
		known := map[string]error{}
		for _, name := range c.known {
			known[name] = some
		}
		var got []string
		fake := &tester{TB: t}
		Check(fake, dir, known, func(name string, err error) {
			if err != some {
				t.Errorf("%s is %v", name, err)
			}
			got = append(got, name)
		})
		slices.Sort(got)
		want := slices.DeleteFunc(slices.Sorted(slices.Values(c.known)), func(s string) bool { return s == "ErrFour" })
		if !slices.Equal(got, want) || fake.failures != c.failures {
			t.Errorf("%v: got %v and %d failures", c.known, got, fake.failures)
		}
	}
}

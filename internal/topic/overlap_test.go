package topic

import "testing"

func TestOverlap(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a/c", false}, {"a/+", "a/b", true}, {"a/+", "+/b", true}, {"a/#", "a/b/c", true},
		{"a/#", "b/#", false}, {"a/+/c", "a/b", false}, {"#", "x", true}, {"a/+/c", "a/b/+", true}, {"a/b/#", "a/+", true},
		{"a/#", "a", true}, {"a/+", "a", false}, {"#", "$SYS/x", false}, {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/+", true},
	} {
		if Overlap(test.a, test.b) != test.want || Overlap(test.b, test.a) != test.want {
			t.Errorf("Overlap(%q, %q) is not %v", test.a, test.b, test.want)
		}
	}
}

// FuzzOverlap holds it against Match: what both match, they overlap in.
func FuzzOverlap(f *testing.F) {
	f.Add("a/+/#", "+/b", "a/b")
	f.Add("#", "a/#", "a")
	f.Fuzz(func(t *testing.T, a, b, name string) {
		if CheckFilter(a) != nil || CheckFilter(b) != nil || CheckName(name) != nil {
			return
		}
		if Match(a, name) && Match(b, name) && !Overlap(a, b) {
			t.Errorf("%q and %q both match %q", a, b, name)
		}
	})
}

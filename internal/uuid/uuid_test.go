package uuid

import (
	"regexp"
	"testing"
)

var form = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestNew(t *testing.T) {
	seen := map[UUID]bool{}
	var ones, zeros UUID // bits that were ever 1, and ever 0
	for range 1000 {
		u := New()
		if !form.MatchString(u.String()) {
			t.Fatal(u)
		}
		if seen[u] {
			t.Fatal("twice: ", u)
		}
		seen[u] = true
		for i, b := range u {
			ones[i] |= b
			zeros[i] |= ^b
		}
	}
	if ones != (UUID{255, 255, 255, 255, 255, 255, 0x4f, 255, 0xbf, 255, 255, 255, 255, 255, 255, 255}) ||
		zeros != (UUID{255, 255, 255, 255, 255, 255, 0xbf, 255, 0x7f, 255, 255, 255, 255, 255, 255, 255}) {
		t.Errorf("bits that never change: %x, %x", ones, zeros)
	}
}

func TestAppend(t *testing.T) {
	u := UUID{0, 1, 2, 3, 4, 5, 0x46, 7, 0x88, 9, 10, 11, 12, 13, 14, 15}
	if got := string(u.Append([]byte("x:"))); got != "x:00010203-0405-4607-8809-0a0b0c0d0e0f" {
		t.Error(got)
	}
	if n := testing.AllocsPerRun(100, func() { _ = u.String() }); n > 1 {
		t.Errorf("%v allocations, want 1", n)
	}
}

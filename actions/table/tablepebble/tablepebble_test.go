package tablepebble

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/actions/table"
)

func open(t *testing.T, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// Both stores answer alike.
func TestStores(t *testing.T) {
	db := open(t, vfs.NewMem())
	defer db.Close()
	if err := New(db, "z").Put(t.Context(), "t", "k", "", []byte(`{"neighbour":1}`)); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]table.Store{"memory": table.NewMemStore(), "pebble": New(db, "x/")} {
		put := func(tab, key, sort string) {
			if err := s.Put(t.Context(), tab, key, sort, fmt.Appendf(nil, `{"at":%q}`, tab+key+sort)); err != nil {
				t.Fatal(err)
			}
		}
		for _, row := range [][3]string{{"t", "b", "2"}, {"t", "b", "1"}, {"t", "a", ""}, {"t", "b", ""}, {"t", "bb", "0"}, {"tt", "b", "9"}, {"t", "b", "1"}} {
			put(row[0], row[1], row[2])
		}
		rows := func(tab, key string) (all []string) {
			for row, err := range s.Rows(t.Context(), tab, key) {
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, row.Key+":"+row.Sort+" "+string(row.Item))
			}
			return all
		}
		if got, want := rows("t", "b"), []string{`b: {"at":"tb"}`, `b:1 {"at":"tb1"}`, `b:2 {"at":"tb2"}`}; !slices.Equal(got, want) {
			t.Errorf("%s: rows of a key are %q, want %q", name, got, want)
		}
		if got, want := rows("t", ""), []string{`a: {"at":"ta"}`, `b: {"at":"tb"}`, `b:1 {"at":"tb1"}`, `b:2 {"at":"tb2"}`, `bb:0 {"at":"tbb0"}`}; !slices.Equal(got, want) {
			t.Errorf("%s: rows are %q, want %q", name, got, want)
		}
		if err := s.Delete(t.Context(), "t", "b", "1"); err != nil {
			t.Error(err)
		}
		if err := s.Delete(t.Context(), "t", "b", "absent"); err != nil {
			t.Error(err)
		}
		if _, err := s.Get(t.Context(), "t", "b", "1"); !errors.Is(err, table.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPowerCut(t *testing.T) {
	fs := vfs.NewCrashableMem()
	db := open(t, fs)
	if err := New(db, "x/").Put(t.Context(), "t", "k", "s", []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	after := open(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	defer after.Close()
	db.Close()
	if item, err := New(after, "x/").Get(t.Context(), "t", "k", "s"); err != nil || string(item) != `{"a":1}` {
		t.Errorf("got %s, %v", item, err)
	}
}

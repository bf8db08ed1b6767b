package tablepebble

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
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
			for row, err := range s.Rows(t.Context(), tab, table.Range{Key: key}) {
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

// Ranges of both stores agree with a plain reading of what a Range says, for
// all ranges over awkward names.
func TestRanges(t *testing.T) {
	db := open(t, vfs.NewMem())
	defer db.Close()
	keys, sorts := []string{"a", "aa", "a\x01", "b\xff", "b"}, []string{"", "1", "1\xff", "1\xffz", "12", "2", "\xff"}
	mem, disk := table.NewMemStore(), New(db, "x/")
	var all []table.Row
	for _, k := range keys {
		for _, sort := range sorts {
			for _, s := range []table.Store{mem, disk} {
				for _, name := range []string{"t", "t\x01", "s"} {
					if err := s.Put(t.Context(), name, k, sort, []byte(`{}`)); err != nil {
						t.Fatal(err)
					}
				}
			}
			all = append(all, table.Row{Key: k, Sort: sort})
		}
	}
	slices.SortFunc(all, func(a, b table.Row) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Sort, b.Sort)) })
	for _, key := range append(keys, "", "absent") {
		for _, prefix := range append(sorts, "3") {
			if key == "" && prefix != "" {
				continue
			}
			for _, after := range append(all, table.Row{}, table.Row{Key: "a", Sort: "absent"}, table.Row{Key: "zz"}) {
				r := table.Range{Key: key, Prefix: prefix, AfterKey: after.Key, AfterSort: after.Sort}
				var want []string
				for _, row := range all {
					if (key == "" || row.Key == key && strings.HasPrefix(row.Sort, prefix)) &&
						(after.Key == "" || row.Key > after.Key || row.Key == after.Key && row.Sort > after.Sort) {
						want = append(want, row.Key+":"+row.Sort)
					}
				}
				for name, s := range map[string]table.Store{"memory": mem, "pebble": disk} {
					var got []string
					for row, err := range s.Rows(t.Context(), "t", r) {
						if err != nil {
							t.Fatal(err)
						}
						got = append(got, row.Key+":"+row.Sort)
					}
					if !slices.Equal(got, want) {
						t.Fatalf("%s: %+q: got %q, want %q", name, r, got, want)
					}
				}
			}
		}
	}
}

// No update of a row is lost among many, and none that was acknowledged by a
// power cut.
func TestUpdate(t *testing.T) {
	fs := vfs.NewCrashableMem()
	db := open(t, fs)
	defer db.Close()
	tables := table.New(New(db, "x/"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				err := tables.Update(t.Context(), "t", "k", "", func(old json.RawMessage) (json.RawMessage, error) {
					var item struct{ N int }
					if old != nil {
						if err := json.Unmarshal(old, &item); err != nil {
							return nil, err
						}
					}
					return fmt.Appendf(nil, `{"n":%d}`, item.N+1), nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	after := open(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	defer after.Close()
	tables = table.New(New(after, "x/"))
	if item, err := tables.Get(t.Context(), "t", "k", ""); string(item) != `{"n":200}` {
		t.Errorf("got %s, %v: updates were lost", item, err)
	}
	if err := tables.Create(t.Context(), "t", "k", "", []byte(`{}`)); !errors.Is(err, table.ErrExists) {
		t.Errorf("Create over an item: %v", err)
	}
	remove := func(json.RawMessage) (json.RawMessage, error) { return nil, nil }
	if err := tables.Update(t.Context(), "t", "k", "", remove); err != nil {
		t.Fatal(err)
	}
	if _, err := tables.Get(t.Context(), "t", "k", ""); !errors.Is(err, table.ErrNotFound) {
		t.Errorf("after its removal: %v", err)
	}
}

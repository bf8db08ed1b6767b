package rulespebble_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/rules"
	"github.com/thingloom/thingloom/rules/rulespebble"
	"github.com/thingloom/thingloom/rules/rulestest"
)

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

func openDB(t *testing.T, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func newStore(t *testing.T, db *pebble.DB, prefix string) rules.Store {
	t.Helper()
	s, err := rulespebble.New(db, []byte(prefix))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStore runs the suite beside foreign keys on both sides of the store's
// own, which must be there afterwards.
func TestStore(t *testing.T) {
	foreign := []string{"rules", "rules.", "rules0", "rulesu", "rules/", "\xff\xff"}
	fs := make(map[rules.Store]*vfs.MemFS)
	dbs := make(map[rules.Store]*pebble.DB)
	open := func(t *testing.T, mem *vfs.MemFS) rules.Store {
		db := openDB(t, mem)
		for _, key := range foreign {
			if err := db.Set([]byte(key), []byte(key), pebble.Sync); err != nil {
				t.Fatal(err)
			}
		}
		s := newStore(t, db, "rules/")
		fs[s], dbs[s] = mem, db
		return s
	}
	rulestest.TestStore(t, func(t *testing.T) rules.Store {
		s := open(t, vfs.NewMem())
		t.Cleanup(func() {
			db := dbs[s]
			if db == nil {
				return // reopened
			}
			for _, key := range foreign {
				value, closer, err := db.Get([]byte(key))
				if err != nil || string(value) != key {
					t.Errorf("foreign key %q is %q, %v", key, value, err)
					continue
				}
				closer.Close()
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}, &rulestest.Options{Reopen: func(t *testing.T, s rules.Store) rules.Store {
		if err := dbs[s].Close(); err != nil {
			t.Fatal(err)
		}
		dbs[s] = nil
		next := open(t, fs[s])
		t.Cleanup(func() { dbs[next].Close() })
		return next
	}})
}

// TestPrefixes keeps two stores in one database.
func TestPrefixes(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	a, b := newStore(t, db, "a/"), newStore(t, db, "b/")
	if err := b.Save(t.Context(), rules.Rule{Name: "r"}); err != nil {
		t.Fatal(err)
	}
	for r, err := range a.All(t.Context()) {
		t.Errorf("All of the other store yields %q, %v", r.Name, err)
	}
	if _, err := a.Load(t.Context(), "r"); !errors.Is(err, rules.ErrNotFound) {
		t.Errorf("Load: %v", err)
	}
	if err := a.Delete(t.Context(), "r"); !errors.Is(err, rules.ErrNotFound) {
		t.Errorf("Delete: %v", err)
	}
	if _, err := b.Load(t.Context(), "r"); err != nil {
		t.Error(err)
	}
}

func TestFormat(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	if err := db.Set([]byte("pv"), []byte{2}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if _, err := rulespebble.New(db, []byte("p")); !errors.Is(err, rulespebble.ErrFormat) {
		t.Errorf("New on format 2: %v", err)
	}
	if err := db.Set([]byte("qrbad"), []byte("{"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, db, "q")
	if _, err := s.Load(t.Context(), "bad"); err == nil {
		t.Error("Load of a damaged rule succeeds")
	}
	var last error
	for _, err := range s.All(t.Context()) {
		last = err
	}
	if last == nil {
		t.Error("All of a damaged rule succeeds")
	}
}

// TestCrash cuts the power after random edits, keeping a random part of what
// was not synced: every edit that was acknowledged must be there, with its
// desired state, and the last one that was not may be.
func TestCrash(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	type state struct {
		version  int64
		disabled bool
	}
	for round := range 30 {
		fs := vfs.NewCrashableMem()
		db := openDB(t, fs)
		s := newStore(t, db, "rules/")
		model := map[string]state{}
		for range 1 + rng.IntN(40) {
			name := fmt.Sprint("r", rng.IntN(5))
			old, exists := model[name]
			if exists && rng.IntN(4) == 0 {
				if err := s.Delete(t.Context(), name); err != nil {
					t.Fatal(err)
				}
				delete(model, name)
				continue
			}
			next := state{old.version + 1, rng.IntN(2) == 0}
			r := rules.Rule{Name: name, SQL: "SELECT * FROM 'a'", Version: next.version, Disabled: next.disabled}
			if err := s.Save(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			model[name] = next
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openDB(t, crashed)
		got := map[string]state{}
		for r, err := range newStore(t, db, "rules/").All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got[r.Name] = state{r.Version, r.Disabled}
		}
		if fmt.Sprint(got) != fmt.Sprint(model) {
			t.Errorf("round %d: after the crash %v, want %v", round, got, model)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

type bindNothing struct{}

func (bindNothing) Bind(context.Context, rules.ActionSpec) (rules.Action, error) {
	return rules.ActionFunc(func(context.Context, rules.Firing) error { return nil }), nil
}

// TestEngineAfterCrash puts the engine on top: a rule that was disabled stays
// so, versions and times go on.
func TestEngineAfterCrash(t *testing.T) {
	fs := vfs.NewCrashableMem()
	db := openDB(t, fs)
	e, err := rules.Open(t.Context(), newStore(t, db, "rules/"), bindNothing{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rule := rules.Rule{Name: "r", SQL: "SELECT * FROM 'a'", Actions: []rules.ActionSpec{{Type: "x"}}}
	made, err := e.Create(t.Context(), rule)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Disable(t.Context(), "r"); err != nil {
		t.Fatal(err)
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	db.Close()
	db = openDB(t, crashed)
	defer db.Close()
	if e, err = rules.Open(t.Context(), newStore(t, db, "rules/"), bindNothing{}, nil); err != nil {
		t.Fatal(err)
	}
	got, err := e.Rule("r")
	if err != nil || !got.Disabled || got.Version != 2 || got.ID != made.ID || !got.CreatedAt.Equal(made.CreatedAt) {
		t.Errorf("after the crash: %+v, %v", got, err)
	}
}

// TestCrashAmongEdits cuts the power while several editors are at work, at a
// moment that none of them chose. Of each rule the next process finds a version
// that was begun and none older than the last one acknowledged, whole: statement,
// desired state and version of one edit; its engine runs with it.
func TestCrashAmongEdits(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 3))
		fs := vfs.NewCrashableMem()
		db := openDB(t, fs)
		e, err := rules.Open(t.Context(), newStore(t, db, "rules/"), bindNothing{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		const editors, most = 4, 60
		var mu sync.Mutex
		begun, acknowledged := [editors]int{}, [editors]int{}
		atCrash := acknowledged
		var crashed *vfs.MemFS
		left := 20 + rng.IntN(editors*most/2) // edits until the power fails
		var wg sync.WaitGroup
		for i := range editors {
			wg.Go(func() {
				for n := 1; n <= most; n++ {
					mu.Lock()
					dead := crashed != nil
					if !dead {
						begun[i] = n
					}
					mu.Unlock()
					if dead {
						return
					}
					_, err := put(t.Context(), e, i, n)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if crashed == nil {
						acknowledged[i] = n
						if left--; left == 0 {
							atCrash = acknowledged
							crashed = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
						}
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if crashed == nil {
			t.Fatal("the power did not fail")
		}
		db = openDB(t, crashed)
		next, err := rules.Open(t.Context(), newStore(t, db, "rules/"), bindNothing{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range editors {
			info, err := next.Rule(fmt.Sprint("r", i))
			if errors.Is(err, rules.ErrNotFound) && atCrash[i] == 0 {
				continue
			}
			n := int(info.Version)
			if err != nil || n < atCrash[i] || n > begun[i] {
				t.Errorf("seed %d: r%d has version %d, %v; %d was acknowledged, %d begun", seed, i, n, err, atCrash[i], begun[i])
				continue
			}
			if want := edit(i, n); info.SQL != want.SQL || info.Disabled != want.Disabled || info.Broken != nil || info.Filter != fmt.Sprint("a/", n) {
				t.Errorf("seed %d: version %d of r%d is %+v", seed, n, i, info)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// edit is the nth version of a rule.
func edit(i, n int) rules.Rule {
	return rules.Rule{Name: fmt.Sprint("r", i), SQL: fmt.Sprintf("SELECT * FROM 'a/%d'", n), Disabled: n%3 == 0,
		Actions: []rules.ActionSpec{{Type: "x"}}}
}

func put(ctx context.Context, e *rules.Engine, i, n int) (rules.Rule, error) {
	if n == 1 {
		return e.Create(ctx, edit(i, n))
	}
	return e.Replace(ctx, edit(i, n))
}

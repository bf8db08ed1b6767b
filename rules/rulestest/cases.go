package rulestest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/thingloom/thingloom/rules"
)

var storeCases = []storeCase{
	{"absent", "Load of an absent name returns ErrNotFound.", false, func(ctx context.Context, e *env) error {
		return e.wantAbsent(ctx, "none")
	}},
	{"delete absent", "Delete of an absent name returns ErrNotFound.", false, func(ctx context.Context, e *env) error {
		if err := e.Delete(ctx, "none"); !errors.Is(err, rules.ErrNotFound) {
			return fmt.Errorf("Delete: %v", err)
		}
		return nil
	}},
	{"empty", "All of an empty store yields nothing.", false, func(ctx context.Context, e *env) error {
		return e.wantAll(ctx)
	}},
	{"round trip", "Load and All return every field of what was saved.", false, func(ctx context.Context, e *env) error {
		full, bare := sample("full"), rules.Rule{Name: "bare", SQL: "SELECT * FROM 'a'"}
		if err := e.save(ctx, full, bare); err != nil {
			return err
		}
		if err := e.wantLoad(ctx, full); err != nil {
			return err
		}
		if err := e.wantLoad(ctx, bare); err != nil {
			return err
		}
		return e.wantAll(ctx, bare, full)
	}},
	{"replace", "Save puts the rule in place of what was there, whole.", false, func(ctx context.Context, e *env) error {
		small := rules.Rule{Name: "r", SQL: "SELECT 1 FROM 'a'", Version: 2}
		if err := e.save(ctx, sample("r"), small); err != nil {
			return err
		}
		if err := e.wantLoad(ctx, small); err != nil {
			return err
		}
		return e.wantAll(ctx, small)
	}},
	{"delete", "Delete removes that rule and no other; its name can be used again.", false, func(ctx context.Context, e *env) error {
		a, ab, b := sample("a"), sample("ab"), sample("b")
		if err := e.save(ctx, a, ab, b); err != nil {
			return err
		}
		if err := e.Delete(ctx, "a"); err != nil {
			return fmt.Errorf("Delete: %w", err)
		}
		if err := e.wantAbsent(ctx, "a"); err != nil {
			return err
		}
		if err := e.wantAll(ctx, ab, b); err != nil {
			return err
		}
		if err := e.Delete(ctx, "a"); !errors.Is(err, rules.ErrNotFound) {
			return fmt.Errorf("second Delete: %v", err)
		}
		if err := e.save(ctx, a); err != nil {
			return err
		}
		return e.wantAll(ctx, a, ab, b)
	}},
	{"order", "All yields the rules in the bytewise order of their names.", false, func(ctx context.Context, e *env) error {
		names := []string{"b", "_", "Z", "a", "aa", "A0", "0", "a_", strings.Repeat("x", 128), "r10", "r9"}
		var want []rules.Rule
		for _, name := range names {
			want = append(want, sample(name))
		}
		if err := e.save(ctx, want...); err != nil {
			return err
		}
		slices.SortFunc(want, func(a, b rules.Rule) int { return strings.Compare(a.Name, b.Name) })
		return e.wantAll(ctx, want...)
	}},
	{"stop", "All can be left early.", false, func(ctx context.Context, e *env) error {
		if err := e.save(ctx, sample("a"), sample("b"), sample("c")); err != nil {
			return err
		}
		for r, err := range e.All(ctx) {
			if err != nil {
				return err
			}
			if r.Name != "a" {
				return fmt.Errorf("All yields %q first", r.Name)
			}
			break
		}
		return e.wantAll(ctx, sample("a"), sample("b"), sample("c"))
	}},
	{"no shared memory in", "What was saved shares no memory with what is stored.", false, func(ctx context.Context, e *env) error {
		r := sample("r")
		if err := e.save(ctx, r); err != nil {
			return err
		}
		scribble(r)
		return e.wantLoad(ctx, sample("r"))
	}},
	{"no shared memory out", "What Load and All return shares no memory with what is stored.", false, func(ctx context.Context, e *env) error {
		if err := e.save(ctx, sample("r")); err != nil {
			return err
		}
		r, err := e.Load(ctx, "r")
		if err != nil {
			return err
		}
		scribble(r)
		for r, err := range e.All(ctx) {
			if err != nil {
				return err
			}
			scribble(r)
		}
		return e.wantLoad(ctx, sample("r"))
	}},
	{"cancelled", "A method whose context is done before it began returns its error and changes nothing.", false, func(ctx context.Context, e *env) error {
		if err := e.save(ctx, sample("r")); err != nil {
			return err
		}
		done, cancel := context.WithCancel(ctx)
		cancel()
		_, loadErr := e.Load(done, "r")
		var allErr error
		for _, err := range e.All(done) {
			allErr = err
		}
		other := sample("r")
		other.SQL = "SELECT 2 FROM 'b'"
		for _, got := range []struct {
			method string
			err    error
		}{{"Load", loadErr}, {"All", allErr}, {"Save", e.Save(done, other)}, {"Delete", e.Delete(done, "r")}} {
			if !errors.Is(got.err, context.Canceled) {
				return fmt.Errorf("%s with a cancelled context: %v", got.method, got.err)
			}
		}
		return e.wantAll(ctx, sample("r"))
	}},
	{"concurrent", "A Store is safe for concurrent use, and a rule that nobody touches is always there.", false, checkConcurrent},
	{"reopen", "What was saved and deleted is so in the next process.", true, func(ctx context.Context, e *env) error {
		if err := e.save(ctx, sample("a"), sample("b"), sample("c")); err != nil {
			return err
		}
		if err := e.Delete(ctx, "b"); err != nil {
			return err
		}
		e.reopen()
		if err := e.wantAll(ctx, sample("a"), sample("c")); err != nil {
			return err
		}
		return e.wantLoad(ctx, sample("c"))
	}},
}

func checkConcurrent(ctx context.Context, e *env) error {
	if err := e.save(ctx, sample("still")); err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			name := string(rune('a' + i))
			for range 25 {
				errs[i] = errors.Join(e.save(ctx, sample(name)), e.wantLoad(ctx, sample(name)), e.hasAll(ctx, "still", name),
					e.Delete(ctx, name))
				if errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return e.wantAll(ctx, sample("still"))
}

// scribble overwrites the memory that r points at.
func scribble(r rules.Rule) {
	for i := range r.Actions {
		for j := range r.Actions[i].Params {
			r.Actions[i].Params[j] = '!'
		}
		r.Actions[i].Type = "scribbled"
	}
	if r.ErrorAction != nil {
		r.ErrorAction.Type = "scribbled"
		for j := range r.ErrorAction.Params {
			r.ErrorAction.Params[j] = '!'
		}
	}
}

func (e *env) save(ctx context.Context, all ...rules.Rule) error {
	for _, r := range all {
		if err := e.Save(ctx, r); err != nil {
			return fmt.Errorf("Save(%q): %w", r.Name, err)
		}
	}
	return nil
}

func (e *env) wantAbsent(ctx context.Context, name string) error {
	if r, err := e.Load(ctx, name); !errors.Is(err, rules.ErrNotFound) {
		return fmt.Errorf("Load(%q): %v, %v", name, r, err)
	}
	return nil
}

func (e *env) wantLoad(ctx context.Context, want rules.Rule) error {
	got, err := e.Load(ctx, want.Name)
	if err != nil {
		return fmt.Errorf("Load(%q): %w", want.Name, err)
	}
	return same(got, want)
}

func (e *env) wantAll(ctx context.Context, want ...rules.Rule) error {
	var got []rules.Rule
	for r, err := range e.All(ctx) {
		if err != nil {
			return fmt.Errorf("All: %w", err)
		}
		got = append(got, r)
	}
	for i := range min(len(got), len(want)) {
		if err := same(got[i], want[i]); err != nil {
			return fmt.Errorf("All: rule %d: %w", i, err)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("All yields %d rules, want %d", len(got), len(want))
	}
	return nil
}

// hasAll reports a name that All does not yield exactly once.
func (e *env) hasAll(ctx context.Context, names ...string) error {
	count := make(map[string]int)
	for r, err := range e.All(ctx) {
		if err != nil {
			return fmt.Errorf("All: %w", err)
		}
		count[r.Name]++
	}
	for _, name := range names {
		if count[name] != 1 {
			return fmt.Errorf("All yields %q %d times", name, count[name])
		}
	}
	return nil
}

// same compares rules as their JSON shows them.
func same(got, want rules.Rule) error {
	g, err := json.Marshal(got)
	if err != nil {
		return err
	}
	w, err := json.Marshal(want)
	if err != nil {
		return err
	}
	if !bytes.Equal(g, w) {
		return fmt.Errorf("got  %s\nwant %s", g, w)
	}
	return nil
}

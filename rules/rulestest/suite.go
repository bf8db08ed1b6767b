package rulestest

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/thingloom/thingloom/rules"
)

// Options tell what a store can do beyond the interface. A nil *Options is
// nothing.
type Options struct {
	// Reopen ends the use of s and opens what it stored again, as the next
	// process would. Nil says that nothing outlives a process, and skips the
	// cases that need it.
	Reopen func(t *testing.T, s rules.Store) rules.Store
}

// TestStore runs the suite. open returns a new and empty store each time.
func TestStore(t *testing.T, open func(t *testing.T) rules.Store, opts *Options) {
	if opts == nil {
		opts = &Options{}
	}
	for _, c := range storeCases {
		t.Run(c.name, func(t *testing.T) {
			e := &env{Store: open(t)}
			if opts.Reopen != nil {
				e.reopen = func() { e.Store = opts.Reopen(t, e.Store) }
			} else if c.reopens {
				t.Skip("Options.Reopen is not set")
			}
			if err := c.run(t.Context(), e); err != nil {
				t.Errorf("%s\n%v", c.rule, err)
			}
		})
	}
}

// A storeCase checks one sentence of the contract.
type storeCase struct {
	name    string
	rule    string // what a store must do, said in full
	reopens bool
	check   func(ctx context.Context, e *env) error
}

// run is check with a limit, so that a store that hangs fails one case.
func (c storeCase) run(ctx context.Context, e *env) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return c.check(ctx, e)
}

// env is the store under test.
type env struct {
	rules.Store
	reopen func()
}

// sample is a rule with every field set.
func sample(name string) rules.Rule {
	return rules.Rule{
		Name: name, SQL: "SELECT *, \"ü\" AS x FROM 'a/+' WHERE t <> 1 AND t > 2", SQLVersion: "2016-03-23",
		Description: "says \"<&>\"\n", Disabled: true,
		Actions: []rules.ActionSpec{
			{Type: "republish", Params: json.RawMessage(`{"topic":"b/${topic(2)}","n":12345678901234567890.10,"h":"<&>"}`)},
			{Type: "log", Params: json.RawMessage(`{}`)},
		},
		ErrorAction: &rules.ActionSpec{Type: "log", Params: json.RawMessage(`{"level":"error"}`)},
		ID:          "id-" + name, Version: 1<<62 + 1,
		CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.UTC),
		UpdatedAt: time.Date(2026, 6, 7, 8, 9, 10, 11, time.UTC),
	}
}

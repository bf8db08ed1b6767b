package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// binder makes actions of functions by type. Action types that it does not know
// are refused.
type binder map[string]Action

func (b binder) Bind(_ context.Context, s ActionSpec) (Action, error) {
	a, ok := b[s.Type]
	if !ok {
		return nil, fmt.Errorf("unknown action %q", s.Type)
	}
	if m, ok := a.(maker); ok {
		return m(s)
	}
	return a, nil
}

// maker in a binder makes an action for each spec.
type maker func(s ActionSpec) (Action, error)

func (maker) Invoke(context.Context, Firing) error { panic("not an action") }

// recorder keeps what it is given.
type recorder struct {
	mu      sync.Mutex
	firings []Firing
}

func (r *recorder) Invoke(_ context.Context, f Firing) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.firings = append(r.firings, f)
	return nil
}

// outputs are the rules and outputs since the last call.
func (r *recorder) outputs() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, f := range r.firings {
		all = append(all, f.Rule+" "+string(f.Output))
	}
	r.firings = nil
	return all
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func open(t testing.TB, store Store, b Binder, opts *Options) *Engine {
	t.Helper()
	if opts == nil {
		opts = &Options{}
	}
	if opts.Now == nil {
		opts.Now = func() time.Time { return start }
	}
	e, err := Open(t.Context(), store, b, opts)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func put(t testing.TB, e *Engine, name, sql string, actions ...string) {
	t.Helper()
	if err := e.Put(t.Context(), rule(name, sql, actions...)); err != nil {
		t.Fatal(err)
	}
}

// rule makes a rule; an action "!x" is the error action x.
func rule(name, sql string, actions ...string) Rule {
	r := Rule{Name: name, SQL: sql}
	for _, a := range actions {
		if after, ok := strings.CutPrefix(a, "!"); ok {
			r.ErrorAction = &ActionSpec{Type: after}
		} else {
			r.Actions = append(r.Actions, ActionSpec{Type: a})
		}
	}
	return r
}

func handle(t testing.TB, e *Engine, topic, payload string) {
	t.Helper()
	if err := e.Handle(t.Context(), &Message{Topic: topic, Payload: []byte(payload)}); err != nil {
		t.Fatal(err)
	}
}

func TestOpenNeeds(t *testing.T) {
	if _, err := Open(t.Context(), nil, binder{}, nil); err == nil {
		t.Error("opened without a store")
	}
	if _, err := Open(t.Context(), NewMemStore(), nil, nil); err == nil {
		t.Error("opened without a binder")
	}
	if _, err := Open(t.Context(), NewMemStore(), binder{}, &Options{MaxActions: 100}); err == nil {
		t.Error("opened with 100 actions a rule")
	}
}

// TestEdits walks one rule through its life and looks at what is stamped.
func TestEdits(t *testing.T) {
	store := NewMemStore()
	now := start
	e := open(t, store, binder{"log": &recorder{}}, &Options{Now: func() time.Time { return now }})
	ctx := t.Context()

	made, err := e.Create(ctx, rule("r", "SELECT * FROM 'a/+'", "log"))
	if err != nil || made.Version != 1 || made.ID == "" || !made.CreatedAt.Equal(start) || !made.UpdatedAt.Equal(start) {
		t.Fatalf("created %+v, %v", made, err)
	}
	if _, err := e.Create(ctx, rule("r", "SELECT * FROM 'b'")); !errors.Is(err, ErrExists) {
		t.Errorf("second Create: %v", err)
	}
	now = now.Add(time.Hour)
	replaced, err := e.Replace(ctx, Rule{Name: "r", SQL: "SELECT 1 AS x FROM 'b'", Version: 1, ID: "forged", CreatedAt: now})
	if err != nil || replaced.Version != 2 || replaced.ID != made.ID || !replaced.CreatedAt.Equal(start) || !replaced.UpdatedAt.Equal(now) {
		t.Errorf("replaced %+v, %v", replaced, err)
	}
	for name, err := range map[string]error{
		"Replace of an old version": second(e.Replace(ctx, Rule{Name: "r", SQL: "SELECT 1 AS x FROM 'c'", Version: 1})),
		"Put of an old version":     e.Put(ctx, Rule{Name: "r", SQL: "SELECT 1 AS x FROM 'c'", Version: 1}),
	} {
		if !errors.Is(err, ErrVersionConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"Replace":                         second(e.Replace(ctx, rule("none", "SELECT * FROM 'a'"))),
		"Put with a version":              e.Put(ctx, Rule{Name: "none", SQL: "SELECT * FROM 'a'", Version: 3}),
		"Enable":                          e.Enable(ctx, "none"),
		"Disable":                         e.Disable(ctx, "none"),
		"Delete":                          e.Delete(ctx, "none"),
		"Rule":                            second(e.Rule("none")),
		"a rule that was refused is gone": second(e.Rule("refused")),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s of an absent rule: %v", name, err)
		}
	}
	if err := e.Put(ctx, rule("r", "SELECT 2 AS x FROM 'c'", "log")); err != nil {
		t.Error(err)
	}
	if err := e.Disable(ctx, "r"); err != nil {
		t.Error(err)
	}
	if err := e.Disable(ctx, "r"); err != nil { // already so: no new version
		t.Error(err)
	}
	info, err := e.Rule("r")
	if err != nil || info.Rule.Version != 4 || !info.Disabled || info.Filter != "c" || info.Language != Version2016 {
		t.Errorf("info is %+v, %v", info, err)
	}
	stored, err := store.Load(ctx, "r")
	if err != nil || stored.Version != 4 || !stored.Disabled || stored.ID != made.ID {
		t.Errorf("stored is %+v, %v", stored, err)
	}
	if err := e.Delete(ctx, "r"); err != nil {
		t.Error(err)
	}
	if _, err := store.Load(ctx, "r"); !errors.Is(err, ErrNotFound) {
		t.Errorf("stored after Delete: %v", err)
	}
	again, err := e.Create(ctx, rule("r", "SELECT * FROM 'a'"))
	if err != nil || again.ID == made.ID || again.Version != 1 {
		t.Errorf("created again %+v, %v", again, err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestRefused: what is wrong is named, and nothing has changed.
func TestRefused(t *testing.T) {
	e := open(t, NewMemStore(), binder{"log": &recorder{}, "nil": maker(func(ActionSpec) (Action, error) { return nil, nil }),
		"panic": maker(func(ActionSpec) (Action, error) { panic("boom") })}, &Options{MaxRuleBytes: 1000, MaxRules: 1})
	const ok = "SELECT * FROM 'a'"
	with := func(r Rule, f func(r *Rule)) Rule { f(&r); return r }
	for _, c := range []struct {
		name, field, text string
		rule              Rule
	}{
		{"no name", "ruleName", "1 to 128", rule("", ok)},
		{"a long name", "ruleName", "1 to 128", rule(strings.Repeat("x", 129), ok)},
		{"a name with a hyphen", "ruleName", `byte 1 is '-'`, rule("a-b", ok)},
		{"no statement", "sql", "missing", rule("r", "")},
		{"a statement that does not compile", "sql", "line 1, column 8", rule("r", "SELECT FROM 'a'")},
		{"a filter that is none", "sql", "column", rule("r", "SELECT * FROM 'a/#/b'")},
		{"a version of the language that is none", "sql", "1999", with(rule("r", ok), func(r *Rule) { r.SQLVersion = "1999-01-01" })},
		{"eleven actions", "actions", "at most 10", rule("r", ok, slices.Repeat([]string{"log"}, 11)...)},
		{"an unknown action", "actions[1]", `unknown action "none"`, rule("r", ok, "log", "none")},
		{"an unknown error action", "errorAction", `unknown action "none"`, rule("r", ok, "log", "!none")},
		{"an action that is nil", "actions[0]", `no action "nil"`, rule("r", ok, "nil")},
		{"an action that panics when bound", "actions[0]", "boom", rule("r", ok, "panic")},
		{"an action without a name", "actions[0]", "needs a name", rule("r", ok, "")},
		{"parameters that are not JSON", "actions[0]", "not JSON", with(rule("r", ok, "log"), func(r *Rule) { r.Actions[0].Params = json.RawMessage(`{`) })},
		{"parameters that are no object", "actions[0]", "not a JSON object", with(rule("r", ok, "log"), func(r *Rule) { r.Actions[0].Params = json.RawMessage(` [1]`) })},
		{"a large rule", "rule", "at most 1000", with(rule("r", ok), func(r *Rule) { r.Description = strings.Repeat("x", 1000) })},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := e.Put(t.Context(), c.rule)
			var re *RuleError
			if !errors.As(err, &re) || !errors.Is(err, ErrInvalid) || re.Field != c.field || re.Rule != c.rule.Name || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v\nwant field %s and %q", err, c.field, c.text)
			}
		})
	}
	var syntax *SyntaxError
	if err := e.Put(t.Context(), rule("r", "SELECT floor(t FROM 'a/b'")); !errors.As(err, &syntax) || syntax.Line != 1 || syntax.Column != 16 {
		t.Errorf("a syntax error is %#v", err)
	}
	if n := e.Stats().Rules; n != 0 {
		t.Errorf("%d rules were accepted", n)
	}
	put(t, e, "first", ok)
	if err := e.Put(t.Context(), rule("second", ok)); !errors.Is(err, ErrTooMany) {
		t.Errorf("one rule too many: %v", err)
	}
	put(t, e, "first", ok) // a replacement is not one more
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Put(ctx, rule("first", ok)); !errors.Is(err, context.Canceled) {
		t.Errorf("Put with a cancelled context: %v", err)
	}
}

// faultyStore fails where it is told to.
type faultyStore struct {
	Store
	save, delete, all error
}

func (s *faultyStore) Save(ctx context.Context, r Rule) error {
	if s.save != nil {
		return s.save
	}
	return s.Store.Save(ctx, r)
}

func (s *faultyStore) Delete(ctx context.Context, name string) error {
	if s.delete != nil {
		return s.delete
	}
	return s.Store.Delete(ctx, name)
}

func (s *faultyStore) All(ctx context.Context) iter.Seq2[Rule, error] {
	if s.all != nil {
		return func(yield func(Rule, error) bool) { yield(Rule{}, s.all) }
	}
	return s.Store.All(ctx)
}

// TestStoreFails: an edit that is not stored does not happen.
func TestStoreFails(t *testing.T) {
	log := &recorder{}
	disk := errors.New("disk on fire")
	store := &faultyStore{Store: NewMemStore()}
	e := open(t, store, binder{"log": log}, nil)
	put(t, e, "r", "SELECT 1 AS x FROM 'a'", "log")
	store.save, store.delete = disk, disk
	for name, err := range map[string]error{
		"Put":     e.Put(t.Context(), rule("r", "SELECT 2 AS x FROM 'a'", "log")),
		"Create":  second(e.Create(t.Context(), rule("s", "SELECT 3 AS x FROM 'a'", "log"))),
		"Disable": e.Disable(t.Context(), "r"),
		"Delete":  e.Delete(t.Context(), "r"),
	} {
		if !errors.Is(err, disk) {
			t.Errorf("%s: %v", name, err)
		}
	}
	handle(t, e, "a", "{}")
	if got := log.outputs(); !slices.Equal(got, []string{`r {"x":1}`}) {
		t.Errorf("after failed edits: %q", got)
	}
	store.all = disk
	if _, err := Open(t.Context(), store, binder{}, nil); !errors.Is(err, disk) {
		t.Errorf("Open: %v", err)
	}
}

// TestBroken: a rule that no longer compiles or binds is kept and told of, can
// be disabled, repaired and deleted, and stops nobody else.
func TestBroken(t *testing.T) {
	log := &recorder{}
	store := NewMemStore()
	for _, r := range []Rule{
		{Name: "sql", SQL: "SELEKT", Version: 7, ID: "1"},
		{Name: "action", SQL: "SELECT * FROM 'a'", Actions: []ActionSpec{{Type: "gone"}}, Version: 3, ID: "2"},
		{Name: "sound", SQL: "SELECT * FROM 'a'", Actions: []ActionSpec{{Type: "log"}}, Version: 1, ID: "3"},
		{Name: "off", SQL: "SELECT * FROM 'a'", Actions: []ActionSpec{{Type: "log"}}, Version: 1, ID: "4", Disabled: true},
	} {
		if err := store.Save(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	e := open(t, store, binder{"log": log}, nil)
	handle(t, e, "a", "{}")
	handle(t, e, "$aws/rules/action/a", "{}")
	if got := log.outputs(); !slices.Equal(got, []string{"sound {}"}) {
		t.Errorf("ran %q", got)
	}
	var broken []string
	for info := range e.Rules() {
		if info.Broken != nil {
			broken = append(broken, info.Name)
		}
	}
	if !slices.Equal(broken, []string{"action", "sql"}) || e.Stats().RuleNotFound != 1 {
		t.Errorf("broken are %q, stats %+v", broken, e.Stats())
	}
	if err := e.Enable(t.Context(), "sql"); !errors.Is(err, ErrInvalid) {
		t.Errorf("Enable of a broken rule: %v", err)
	}
	if err := e.Disable(t.Context(), "sql"); err != nil {
		t.Errorf("Disable of a broken rule: %v", err)
	}
	if r, err := store.Load(t.Context(), "sql"); err != nil || !r.Disabled || r.Version != 8 || r.SQL != "SELEKT" {
		t.Errorf("stored %+v, %v", r, err)
	}
	if err := e.Enable(t.Context(), "sql"); !errors.Is(err, ErrInvalid) {
		t.Errorf("Enable of a broken, disabled rule: %v", err)
	}
	put(t, e, "sql", "SELECT 1 AS x FROM 'a'", "log")
	if err := e.Delete(t.Context(), "action"); err != nil {
		t.Error(err)
	}
	handle(t, e, "a", "{}")
	if got := log.outputs(); !slices.Equal(got, []string{"sound {}", `sql {"x":1}`}) {
		t.Errorf("after the repair ran %q", got)
	}
}

// closer counts its life.
type closer struct {
	recorder
	closed int
}

func (c *closer) Close() error { c.closed++; return nil }

// TestActionsAreClosed: once each, when nothing needs them any more.
func TestActionsAreClosed(t *testing.T) {
	var made []*closer
	hold := make(chan struct{})
	entered := make(chan Firing, 1)
	b := binder{
		"c": maker(func(ActionSpec) (Action, error) {
			made = append(made, new(closer))
			return made[len(made)-1], nil
		}),
		"wait":    ActionFunc(func(_ context.Context, f Firing) error { entered <- f; <-hold; return nil }),
		"pending": ActionFunc(func(_ context.Context, f Firing) error { entered <- f; return ErrPending }),
	}
	e := open(t, NewMemStore(), b, nil)
	closed := func() (all []int) {
		for _, c := range made {
			all = append(all, c.closed)
		}
		return all
	}
	want := func(when string, want ...int) {
		t.Helper()
		if got := closed(); !slices.Equal(got, want) {
			t.Errorf("%s closed are %v, want %v", when, got, want)
		}
	}
	if err := e.Put(t.Context(), rule("refused", "SELECT * FROM 'a'", "c", "nothing")); err == nil {
		t.Error("an unknown action was bound")
	}
	want("after a refusal", 1)
	put(t, e, "r", "SELECT * FROM 'a'", "c", "wait")
	if _, err := e.Create(t.Context(), rule("r", "SELECT * FROM 'a'", "c")); err == nil {
		t.Error("created twice")
	}
	want("after ErrExists", 1, 0, 1)

	var wg sync.WaitGroup
	wg.Go(func() { handle(t, e, "a", "{}") })
	<-entered
	put(t, e, "r", "SELECT * FROM 'a'", "c", "pending")
	put(t, e, "r", "SELECT * FROM 'a'", "c", "!c")
	want("while a message is in the first version", 1, 0, 1, 0, 0, 0)
	close(hold)
	wg.Wait()
	want("when it is through", 1, 1, 1, 1, 0, 0)

	put(t, e, "r", "SELECT * FROM 'a'", "c", "pending")
	handle(t, e, "a", "{}")
	f := <-entered
	if err := e.Delete(t.Context(), "r"); err != nil {
		t.Error(err)
	}
	want("while a delivery is pending", 1, 1, 1, 1, 1, 1, 0)
	f.Done(nil)
	f.Done(nil)
	want("when it is done", 1, 1, 1, 1, 1, 1, 1)

	put(t, e, "r", "SELECT * FROM 'a'", "c")
	for range 2 {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	want("after Close", 1, 1, 1, 1, 1, 1, 1, 1)
	handle(t, e, "a", "{}")
	if err := e.Put(t.Context(), rule("r", "SELECT * FROM 'a'")); !errors.Is(err, ErrClosed) {
		t.Errorf("Put after Close: %v", err)
	}
	if err := e.Delete(t.Context(), "r"); !errors.Is(err, ErrClosed) {
		t.Errorf("Delete after Close: %v", err)
	}
}

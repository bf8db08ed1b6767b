package rules

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"

	"github.com/thingloom/thingloom/internal/sql"
)

// Create adds a rule. The error is [ErrExists] where the name is taken, a
// [*RuleError] where the rule cannot work (wrapping a [*SyntaxError] where its
// statement is wrong), a [*CycleError] where it would feed itself unless
// Options.AllowCycles is set, [ErrTooMany], or the store's. Nothing was changed then.
//
// Every edit is atomic between two messages: a message meets the rules either
// all as they were or all as they are.
func (e *Engine) Create(ctx context.Context, r Rule) (Rule, error) {
	return e.set(ctx, r, func(_ Rule, exists bool) error {
		if exists {
			return ErrExists
		}
		return nil
	})
}

// Replace changes a rule that exists; its ID, ledger and CreatedAt stay. The
// errors are those of Create, with [ErrNotFound] where there is no rule of that
// name, and [ErrVersionConflict] where r.Version is neither 0 nor that of the
// stored rule.
func (e *Engine) Replace(ctx context.Context, r Rule) (Rule, error) {
	return e.set(ctx, r, func(old Rule, exists bool) error {
		if !exists {
			return ErrNotFound
		}
		return checkVersion(r.Version, old.Version)
	})
}

// Put creates the rule or replaces it, whichever is called for: what a program
// that brings its rules with it does at each start. A rule equal to the stored
// one is still a new version. With r.Version not 0 it is Replace.
func (e *Engine) Put(ctx context.Context, r Rule) error {
	_, err := e.set(ctx, r, func(old Rule, exists bool) error {
		if !exists && r.Version != 0 {
			return ErrNotFound
		}
		return checkVersion(r.Version, old.Version)
	})
	return err
}

func checkVersion(want, have int64) error {
	if want != 0 && want != have {
		return fmt.Errorf("%w: version is %d, not %d", ErrVersionConflict, have, want)
	}
	return nil
}

// ChangeTags lets change put and delete tags of a rule, which is a new version
// of it. Its error ends the call; it may be called more than once.
func (e *Engine) ChangeTags(ctx context.Context, name string, change func(tags map[string]string) error) error {
	return e.edit(ctx, name, func(r *Rule, _ *Info) (bool, error) {
		if r.Tags == nil {
			r.Tags = map[string]string{}
		}
		return true, change(r.Tags)
	})
}

// Enable lets messages reach the rule, Disable keeps them from it, also after
// a restart. Both are a new version, unless the rule is in that state already.
// A broken rule can be disabled; enabling it compiles it anew and fails as
// Replace does.
func (e *Engine) Enable(ctx context.Context, name string) error {
	return e.setDisabled(ctx, name, false)
}

// Disable is the opposite of Enable.
func (e *Engine) Disable(ctx context.Context, name string) error {
	return e.setDisabled(ctx, name, true)
}

func (e *Engine) setDisabled(ctx context.Context, name string, disabled bool) error {
	return e.edit(ctx, name, func(r *Rule, info *Info) (bool, error) {
		changes := r.Disabled != disabled || !disabled && info.Broken != nil
		r.Disabled = disabled
		return changes, nil
	})
}

// edit lets change make a new version of a rule, unless it says that nothing changes. It is called
// again where another edit came between.
func (e *Engine) edit(ctx context.Context, name string, change func(*Rule, *Info) (bool, error)) error {
	for {
		info, err := e.Rule(name)
		if err != nil {
			return err
		}
		next := info.Rule
		if changes, err := change(&next, &info); err != nil || !changes {
			return err
		}
		conflict := false
		_, err = e.set(ctx, next, func(old Rule, exists bool) error {
			switch {
			case !exists:
				return ErrNotFound
			case old.ID != next.ID || old.Version != next.Version:
				conflict = true
				return ErrVersionConflict
			}
			return nil
		})
		if !conflict {
			return err
		}
	}
}

// Delete removes the rule and its ledger, or returns [ErrNotFound]. Deliveries
// that are pending end as they would have.
func (e *Engine) Delete(ctx context.Context, name string) error {
	if err := e.lock(ctx); err != nil {
		return err
	}
	defer e.unlock()
	old, ok := e.index.Load().rules.Get(name)
	if !ok {
		return fmt.Errorf("rules: rule %q: %w", name, ErrNotFound)
	}
	if err := e.store.Delete(ctx, name); err != nil {
		return fmt.Errorf("rules: rule %q: delete: %w", name, err)
	}
	next, turns := e.index.Load().with(old, nil)
	e.swap(next, turns, old)
	e.opts.Logger.Info("rule deleted", "rule", name)
	return nil
}

func (e *Engine) lock(ctx context.Context) error {
	select {
	case e.editing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if e.closed {
		e.unlock()
		return ErrClosed
	}
	return nil
}

func (e *Engine) unlock() { <-e.editing }

// set checks, compiles and binds r outside the lock, asks admit, saves and
// swaps.
func (e *Engine) set(ctx context.Context, r Rule, admit func(old Rule, exists bool) error) (Rule, error) {
	r = r.clone()
	if err := e.opts.check(&r); err != nil {
		return Rule{}, err
	}
	en, err := e.prepare(ctx, r)
	if err != nil {
		// Disabling must be possible for whoever finds a rule broken.
		if !r.Disabled || !e.isBroken(r) {
			return Rule{}, err
		}
		en = brokenEntry(r, err)
	}
	if err := e.install(ctx, en, admit); err != nil {
		en.close()
		return Rule{}, fmt.Errorf("rules: rule %q: %w", r.Name, err)
	}
	return en.rule.clone(), nil
}

// isBroken reports whether r, but for its desired state, is a rule that is
// known to be broken.
func (e *Engine) isBroken(r Rule) bool {
	en, ok := e.index.Load().rules.Get(r.Name)
	return ok && en.broken != nil && en.rule.ID == r.ID && en.rule.Version == r.Version
}

func (e *Engine) install(ctx context.Context, en *entry, admit func(Rule, bool) error) error {
	if err := e.lock(ctx); err != nil {
		return err
	}
	defer e.unlock()
	ix := e.index.Load()
	old, exists := ix.rules.Get(en.rule.Name)
	r := &en.rule
	now := e.opts.Now().UTC()
	if exists {
		if err := admit(old.rule, true); err != nil {
			return err
		}
		r.ID, r.Version, r.CreatedAt = old.rule.ID, old.rule.Version+1, old.rule.CreatedAt
		en.counts(old.ledger)
		if r.Tags == nil {
			r.Tags = maps.Clone(old.rule.Tags)
		}
	} else {
		if err := admit(Rule{}, false); err != nil {
			return err
		}
		if n := e.opts.MaxRules; n > 0 && ix.rules.Len() >= n {
			return fmt.Errorf("%w: at most %d", ErrTooMany, n)
		}
		r.ID, r.Version, r.CreatedAt = rand.Text(), 1, now
		en.counts(e.ledgers.take())
	}
	r.UpdatedAt, en.version = now, r.Version
	if err := e.checkCycles(ix, en); err != nil {
		return err
	}
	if err := e.store.Save(ctx, r.clone()); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	en.refs.Store(1)
	if exists {
		next, turns := ix.with(old, en)
		e.swap(next, turns, old)
	} else {
		next, turns := ix.with(nil, en)
		e.swap(next, turns)
	}
	e.opts.Logger.Info("rule set", "rule", r.Name, "version", r.Version, "disabled", r.Disabled)
	e.lint(ctx, en)
	return nil
}

// lint logs what cannot be meant so in a statement, as a pattern that is none.
func (e *Engine) lint(ctx context.Context, en *entry) {
	if en.query == nil || !e.opts.Logger.Enabled(ctx, slog.LevelWarn) {
		return
	}
	found, _ := Lint(en.rule.SQL, nil, en.query.opts) // it has compiled
	for _, f := range found {
		e.opts.Logger.Warn("statement can hardly be meant so", "rule", en.rule.Name, "line", f.Line, "column", f.Column, "finding", f.Msg)
	}
}

// checkCycles refuses a rule that would feed itself.
func (e *Engine) checkCycles(ix *index, en *entry) error {
	if e.opts.AllowCycles || en.node == nil || !en.runs() {
		return nil
	}
	if cycle := ix.cycle(en.node); cycle != nil {
		return cycle
	}
	return nil
}

// prepare compiles the statement of r and binds its actions.
func (e *Engine) prepare(ctx context.Context, r Rule) (*entry, error) {
	opts := e.opts.Compile
	if r.SQLVersion != "" && r.SQLVersion != opts.Version {
		own := *opts
		own.Version = r.SQLVersion
		opts = &own
	}
	q, err := Compile(r.SQL, opts)
	if err != nil {
		return nil, &RuleError{Rule: r.Name, Field: "sql", Err: err}
	}
	en := newEntry(r, q, &e.shapes)
	if n := newNode(&r, q); len(n.out) > 0 {
		en.node = &n
	}
	binding := q.binding(r.Name)
	ctx = sql.WithBinding(ctx, binding)
	for i, spec := range r.Actions {
		a, err := e.bind(ctx, spec)
		if err != nil {
			en.close()
			return nil, &RuleError{Rule: r.Name, Field: actionField(i), Err: err}
		}
		en.actions = append(en.actions, a)
		en.settled = en.settled || settles(a)
	}
	en.count = uint8(len(en.actions)) // maxTracked at most
	if r.ErrorAction != nil {
		binding.ErrorAction = true
		if en.onError, err = e.bind(ctx, *r.ErrorAction); err != nil {
			en.close()
			return nil, &RuleError{Rule: r.Name, Field: actionField(ErrorAction), Err: err}
		}
		en.settled = en.settled || settles(en.onError)
	}
	en.asks = e.opts.Patience > 0 && (q.st.Asks() || binding.Asks)
	en.plain = en.steady && en.count == 1 && !en.vars && !en.settled && !en.asks
	return en, nil
}

func (e *Engine) bind(ctx context.Context, spec ActionSpec) (a Action, err error) {
	defer func() {
		if v := recover(); v != nil {
			a, err = nil, newPanicError(v)
		}
	}()
	if len(spec.Params) == 0 {
		spec.Params = []byte("{}")
	}
	a, err = e.binder.Bind(ctx, spec)
	if err == nil && a == nil {
		err = fmt.Errorf("the binder knows no action %q", spec.Type)
	}
	return a, err
}

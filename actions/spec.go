package actions

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Spec is a plugin: its name, its parameters and its constructor.
type Spec struct {
	// Name is what rules call the action by: 1 to 64 of [A-Za-z0-9_-].
	Name string
	// Summary is one line for documentation.
	Summary string
	// Params is the zero value of the parameter struct, or nil when there are
	// no parameters. Documentation is made from it: see Describe.
	Params any

	// Inline says that Do is quick, or durable in itself, and is to run on the
	// caller's goroutine and context before the publisher is acknowledged:
	// without queue and without retry, its error being Do's error.
	Inline bool

	// Workers, Timeout and Retry replace the dispatcher's options of the same
	// name for this plugin where they are not zero.
	Workers int
	Timeout time.Duration
	Retry   *RetryPolicy

	// Open makes an Action. It decodes params with DecodeFor and does no I/O that
	// can wait for the first Do: it runs while a rule is put, also where an
	// action that is open already will be used, to see that the rule may.
	Open func(ctx context.Context, params json.RawMessage) (Action, error)
}

// NewSpec returns a Spec whose parameters are decoded strictly into a new P
// for each Open. P is a struct. Set further fields on the result.
func NewSpec[P any](name, summary string, open func(ctx context.Context, p *P) (Action, error)) Spec {
	var zero P
	return Spec{
		Name: name, Summary: summary, Params: zero,
		Open: func(ctx context.Context, params json.RawMessage) (Action, error) {
			p := new(P)
			if err := DecodeFor(ctx, params, p); err != nil {
				return nil, err
			}
			return open(ctx, p)
		},
	}
}

// A Catalog is the set of plugins a program has. It is immutable.
type Catalog struct {
	specs  []Spec // ordered by name
	byName map[string]int
}

// NewCatalog makes a catalog. Two specs of one name are ErrDuplicate; all
// that is wrong is reported at once.
func NewCatalog(specs ...Spec) (*Catalog, error) {
	c := &Catalog{specs: slices.Clone(specs), byName: make(map[string]int, len(specs))}
	slices.SortStableFunc(c.specs, func(a, b Spec) int { return cmp.Compare(a.Name, b.Name) })
	var errs []error
	for i, s := range c.specs {
		if err := checkName(s.Name); err != nil {
			errs = append(errs, err)
		}
		if s.Open == nil {
			errs = append(errs, fmt.Errorf("actions: spec %q has no Open", s.Name))
		}
		if s.Workers < 0 || s.Timeout < 0 {
			errs = append(errs, fmt.Errorf("actions: spec %q: negative Workers or Timeout", s.Name))
		}
		if s.Retry != nil {
			if err := s.Retry.check(); err != nil {
				errs = append(errs, fmt.Errorf("actions: spec %q: %w", s.Name, err))
			}
		}
		if s.Params != nil {
			if _, err := Describe(s); err != nil {
				errs = append(errs, err)
			}
		}
		if _, twice := c.byName[s.Name]; twice {
			errs = append(errs, fmt.Errorf("%w %q", ErrDuplicate, s.Name))
		}
		c.byName[s.Name] = i
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return c, nil
}

// Specs returns the plugins ordered by name.
func (c *Catalog) Specs() []Spec { return slices.Clone(c.specs) }

// Spec returns the plugin of that name, or an *UnknownActionError with the names there are.
func (c *Catalog) Spec(name string) (Spec, error) {
	if i, ok := c.byName[name]; ok {
		return c.specs[i], nil
	}
	names := make([]string, len(c.specs))
	for i, s := range c.specs {
		names[i] = s.Name
	}
	return Spec{}, &UnknownActionError{name, names}
}

// Check reports whether an action of that name can be opened with params, by
// opening and closing it: for a check of rules before they are put.
func (c *Catalog) Check(ctx context.Context, name string, params json.RawMessage) error {
	s, err := c.Spec(name)
	if err != nil {
		return err
	}
	a, err := open(ctx, s, params)
	if err != nil {
		return err
	}
	return closeAction(a)
}

func checkName(name string) error {
	ok := len(name) >= 1 && len(name) <= 64
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-')
	}
	if !ok {
		return fmt.Errorf("actions: name %q of a spec is not 1 to 64 of [A-Za-z0-9_-]", name)
	}
	return nil
}

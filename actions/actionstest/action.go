// Package actionstest says what a plugin and what a store of queues have to
// do, as suites of tests.
//
//	func TestConformance(t *testing.T) {
//		actionstest.TestAction(t, func(t *testing.T) actionstest.Plugin {
//			return actionstest.Plugin{Spec: mine.Spec(), Params: json.RawMessage(`{"to":"x"}`)}
//		})
//	}
//
// Each case prints the rule it checks when it fails. Run them with -race: that
// an action is used from many goroutines is half of what they check.
package actionstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thingloom/thingloom/actions"
)

// A Plugin is what TestAction needs to know of one.
type Plugin struct {
	Spec   actions.Spec
	Params json.RawMessage // that open

	// Invalid are parameters that Open has to refuse. Unknown fields need not
	// be among them.
	Invalid []json.RawMessage

	// Request returns the nth request, which the action is able to deliver.
	// Nil means a JSON object with the member n, from topic sensors/s<n>.
	Request func(n int) *actions.Request

	// Delivered, if set, is how many requests arrived where the action
	// delivers to, since the plugin was set up.
	Delivered func() int
}

func (p Plugin) request(n int) *actions.Request {
	if p.Request != nil {
		return p.Request(n)
	}
	s := strconv.Itoa(n)
	return &actions.Request{
		ID: "request-" + s, Rule: "rule", Topic: "sensors/s" + s, ClientID: "client", Principal: "principal", Attempt: 1,
		Time: time.Unix(1_700_000_000, 0), Payload: []byte(`{"n":` + s + `}`), Source: []byte(`{"n":` + s + `,"source":true}`),
	}
}

func (p Plugin) open(ctx context.Context) (actions.Action, error) {
	a, err := p.Spec.Open(ctx, p.Params)
	if err == nil && a == nil {
		err = errors.New("Open returned neither an action nor an error")
	}
	return a, err
}

// An ActionCase is one rule for plugins.
type ActionCase struct {
	Name string
	Rule string // printed when the case fails
	Run  func(ctx context.Context, p Plugin) error
}

// TestAction runs every case on a plugin of its own.
func TestAction(t *testing.T, setup func(t *testing.T) Plugin) {
	for _, c := range ActionCases() {
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Run(t.Context(), setup(t)); err != nil {
				t.Errorf("%v\nrule: %s", err, c.Rule)
			}
		})
	}
}

// ActionCases returns the rules.
func ActionCases() []ActionCase {
	return []ActionCase{
		{"catalog", "A spec has a name, a one-line summary, and a catalog takes it.", inCatalog},
		{"documented", "Every parameter has a line of documentation.", documented},
		{"opens", "Open takes valid parameters, as often as it is asked.", opens},
		{"strict", "Open refuses a field it does not know, naming it.", strict},
		{"refuses", "Open refuses wrong parameters with a *ParamError.", refuses},
		{"delivers", "Do returns nil once it has delivered, exactly once a call.", delivers},
		{"concurrent", "Do is called from many goroutines at once.", concurrent},
		{"reads only", "Do changes nothing of its request.", readsOnly},
		{"keeps nothing", "Do has done with its request when it returns.", keepsNothing},
		{"empty", "A request without any content is delivered or an error, never a panic.", empty},
		{"cancelled", "Do with a context that is done returns.", cancelled},
		{"independent", "Closing one action leaves another of the same plugin alone.", independent},
	}
}

func inCatalog(_ context.Context, p Plugin) error {
	if _, err := actions.NewCatalog(p.Spec); err != nil {
		return err
	}
	if s := p.Spec.Summary; s == "" || strings.ContainsAny(s, "\n\r") {
		return fmt.Errorf("summary %q", s)
	}
	return nil
}

func documented(_ context.Context, p Plugin) error {
	params, err := actions.Describe(p.Spec)
	if err != nil {
		return err
	}
	for _, param := range params {
		if param.Doc == "" {
			return fmt.Errorf("parameter %s has no doc tag", param.Path)
		}
	}
	return nil
}

func opens(ctx context.Context, p Plugin) error {
	for range 2 {
		a, err := p.open(ctx)
		if err != nil {
			return err
		}
		if err := closeAction(a); err != nil {
			return fmt.Errorf("close: %w", err)
		}
	}
	return nil
}

func strict(ctx context.Context, p Plugin) error {
	const name = "noPluginHasThis"
	params := map[string]json.RawMessage{}
	if len(p.Params) > 0 {
		if err := json.Unmarshal(p.Params, &params); err != nil {
			return fmt.Errorf("Params of the test: %w", err)
		}
	}
	params[name] = json.RawMessage("1")
	text, err := json.Marshal(params)
	if err != nil {
		return err
	}
	a, err := p.Spec.Open(ctx, text)
	if err == nil {
		return errors.Join(fmt.Errorf("%s was taken", text), closeAction(a))
	}
	if !errors.Is(err, actions.ErrParams) || !strings.Contains(err.Error(), name) {
		return fmt.Errorf("%s: %w", text, err)
	}
	return nil
}

func refuses(ctx context.Context, p Plugin) error {
	for _, text := range append([]json.RawMessage{json.RawMessage(`[]`), json.RawMessage(`{`)}, p.Invalid...) {
		a, err := p.Spec.Open(ctx, text)
		if err == nil {
			return errors.Join(fmt.Errorf("%s was taken", text), closeAction(a))
		}
		var param *actions.ParamError
		if !errors.As(err, &param) {
			return fmt.Errorf("%s: %T, not a *ParamError: %w", text, err, err)
		}
	}
	return nil
}

// with opens an action for the time of use.
func (p Plugin) with(ctx context.Context, use func(a actions.Action) error) error {
	a, err := p.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(use(a), closeAction(a))
}

// arrived waits for what was delivered to be seen, which may take a moment
// where a socket lies between.
func (p Plugin) arrived(ctx context.Context, want int) error {
	if p.Delivered == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for p.Delivered() < want && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if n := p.Delivered(); n != want {
		return fmt.Errorf("%d requests arrived, want %d", n, want)
	}
	return nil
}

func delivers(ctx context.Context, p Plugin) error {
	return p.with(ctx, func(a actions.Action) error {
		for n := range 3 {
			if err := a.Do(ctx, p.request(n)); err != nil {
				return err
			}
		}
		return p.arrived(ctx, 3)
	})
}

func concurrent(ctx context.Context, p Plugin) error {
	const goroutines, each = 8, 4
	return p.with(ctx, func(a actions.Action) error {
		var wg sync.WaitGroup
		errs := make([]error, goroutines)
		for g := range goroutines {
			wg.Go(func() {
				for n := range each {
					if err := a.Do(ctx, p.request(g*each+n)); err != nil && errs[g] == nil {
						errs[g] = err
					}
				}
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		return p.arrived(ctx, goroutines*each)
	})
}

func readsOnly(ctx context.Context, p Plugin) error {
	return p.with(ctx, func(a actions.Action) error {
		r := p.request(1)
		payload, source, rest := bytes.Clone(r.Payload), bytes.Clone(r.Source), describe(r)
		if err := a.Do(ctx, r); err != nil {
			return err
		}
		if !bytes.Equal(r.Payload, payload) || !bytes.Equal(r.Source, source) {
			return fmt.Errorf("payload %q became %q, source %q became %q", payload, r.Payload, source, r.Source)
		}
		if now := describe(r); now != rest {
			return fmt.Errorf("%s became %s", rest, now)
		}
		return nil
	})
}

func describe(r *actions.Request) string {
	return fmt.Sprintf("%q %q %q %q %q %v %d %v", r.ID, r.Rule, r.Topic, r.ClientID, r.Principal, r.Time, r.Attempt, r.Vars)
}

func keepsNothing(ctx context.Context, p Plugin) error {
	return p.with(ctx, func(a actions.Action) error {
		var r actions.Request
		for n := range 8 {
			// The same struct again, as a worker does: the race detector sees who still reads it.
			r = *p.request(n)
			if err := a.Do(ctx, &r); err != nil {
				return err
			}
		}
		return p.arrived(ctx, 8)
	})
}

func empty(ctx context.Context, p Plugin) error {
	return p.with(ctx, func(a actions.Action) (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("panic: %v", v)
			}
		}()
		_ = a.Do(ctx, &actions.Request{}) // either is right
		return nil
	})
}

func cancelled(ctx context.Context, p Plugin) error {
	return p.with(ctx, func(a actions.Action) error {
		gone, cancel := context.WithCancel(ctx)
		cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = a.Do(gone, p.request(1)) // delivered or not: both are right
		}()
		late := time.NewTimer(5 * time.Second)
		defer late.Stop()
		select {
		case <-done:
			return nil
		case <-late.C:
			return errors.New("Do has not returned for 5 s")
		}
	})
}

func independent(ctx context.Context, p Plugin) error {
	return p.with(ctx, func(a actions.Action) error {
		b, err := p.open(ctx)
		if err != nil {
			return err
		}
		if err := closeAction(b); err != nil {
			return fmt.Errorf("close: %w", err)
		}
		if err := a.Do(ctx, p.request(1)); err != nil {
			return err
		}
		return p.arrived(ctx, 1)
	})
}

func closeAction(a actions.Action) error {
	if c, ok := a.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

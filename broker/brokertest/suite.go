package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/thingloom/thingloom/broker"
)

// Options tell what a store can do beyond the interface. A nil *Options is
// nothing.
type Options struct {
	// Reopen ends the use of s and opens what it stored again, as the next
	// process would. Nil says that nothing outlives a process, and skips the
	// cases that need it.
	Reopen func(t *testing.T, s broker.Store) broker.Store
}

// TestStore runs the suite. open returns a new and empty store each time.
func TestStore(t *testing.T, open func(t *testing.T) broker.Store, opts *Options) {
	if opts == nil {
		opts = &Options{}
	}
	for _, c := range cases {
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

// A testCase checks one rule.
type testCase struct {
	name    string
	rule    string // what a store must do, said in full
	reopens bool
	check   func(ctx context.Context, e *env) error
}

// run is check with a limit, so that a store that hangs fails one case.
func (c testCase) run(ctx context.Context, e *env) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return c.check(ctx, e)
}

// env is the store under test.
type env struct {
	broker.Store
	reopen func()
}

var cases = slices.Concat(sessionCases, queueCases, markCases, retainedCases)

// message is a small message whose payload is text.
func message(topic, text string) broker.Message {
	return broker.Message{Topic: topic, ClientID: "publisher", Payload: []byte(text), QoS: 1, Time: someTime}
}

// entry is a message whose payload is text, for clients.
func entry(text string, clients ...string) broker.Entry {
	return broker.Entry{Message: message("t", text), ClientIDs: clients}
}

var someTime = time.Date(2026, 2, 3, 4, 5, 6, 789_000_000, time.UTC)

// queueOf is all of a client's queue above after.
func (e *env) queueOf(ctx context.Context, client string, after uint64) (all []broker.Queued, err error) {
	for q, err := range e.Queue(ctx, client, after) {
		if err != nil {
			return nil, fmt.Errorf("Queue(%q, %d): %w", client, after, err)
		}
		all = append(all, q)
	}
	return all, nil
}

// wantQueue compares a client's queue with payloads.
func (e *env) wantQueue(ctx context.Context, client string, after uint64, want ...string) error {
	all, err := e.queueOf(ctx, client, after)
	if err != nil {
		return err
	}
	got := make([]string, len(all))
	for i, q := range all {
		got[i] = string(q.Message.Payload)
		if q.Seq <= after {
			return fmt.Errorf("Queue(%q, %d) has number %d", client, after, q.Seq)
		}
		after = q.Seq
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("Queue of %q has %q, want %q", client, got, want)
	}
	return nil
}

// retainedOf is the topics of the retained messages that match filter, in order.
func (e *env) retainedOf(ctx context.Context, filter string) (topics []string, err error) {
	for m, err := range e.Retained(ctx, filter) {
		if err != nil {
			return nil, fmt.Errorf("Retained(%q): %w", filter, err)
		}
		topics = append(topics, m.Topic)
	}
	return topics, nil
}

func (e *env) wantRetained(ctx context.Context, filter string, want ...string) error {
	got, err := e.retainedOf(ctx, filter)
	if err == nil && fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		err = fmt.Errorf("Retained(%q) has topics %q, want %q", filter, got, want)
	}
	return err
}

// sessionOf is the stored session of client.
func (e *env) sessionOf(ctx context.Context, client string) (s broker.Session, found bool, err error) {
	for one, err := range e.Sessions(ctx) {
		if err != nil {
			return s, false, fmt.Errorf("Sessions: %w", err)
		}
		if one.ClientID != client {
			continue
		}
		if found {
			return s, false, fmt.Errorf("Sessions has %q twice", client)
		}
		s, found = one, true
	}
	return s, found, nil
}

// first runs steps until one fails.
func first(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

var errMissing = errors.New("missing")

package brokertest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/thingloom/thingloom/broker"
)

// oddClients are client IDs that a careless key layout mixes up.
var oddClients = []string{
	"", "/", "+", "#", "a", "a/", "a/b", "ab", "\x00", "a\x00", "a\x00b", strings.Repeat("é", 128), "\xff\xff",
}

var sessionCases = []testCase{
	{
		name: "session/absent",
		rule: "A new store has no sessions, and deleting one that is not there is no error.",
		check: func(ctx context.Context, e *env) error {
			if _, found, err := e.sessionOf(ctx, "nobody"); err != nil || found {
				return fmt.Errorf("session found %v, error %w", found, errors.Join(errMissing, err))
			}
			for s, err := range e.Sessions(ctx) {
				return fmt.Errorf("Sessions yields %+v, %w", s, errors.Join(errMissing, err))
			}
			return e.DeleteSession(ctx, "nobody")
		},
	},
	{
		name: "session/round trip",
		rule: "SaveSession stores every field, and Sessions gives it back.",
		check: func(ctx context.Context, e *env) error {
			for _, want := range []broker.Session{fullSession("full"), {ClientID: "bare", Version: 4}, {ClientID: "will", Version: 4, Will: &broker.PendingWill{Message: message("t", "will")}}} {
				if err := e.SaveSession(ctx, want); err != nil {
					return err
				}
				got, found, err := e.sessionOf(ctx, want.ClientID)
				if err != nil || !found {
					return fmt.Errorf("session %q: found %v, %w", want.ClientID, found, errors.Join(errMissing, err))
				}
				if err := sameSession(got, want); err != nil {
					return err
				}
			}
			return nil
		},
	},
	{
		name: "session/replace",
		rule: "SaveSession replaces what was there, all of it, and leaves the queue as it is.",
		check: func(ctx context.Context, e *env) error {
			if err := e.SaveSession(ctx, fullSession("c")); err != nil {
				return err
			}
			if _, err := e.Enqueue(ctx, []broker.Entry{entry("waits", "c")}); err != nil {
				return err
			}
			want := broker.Session{ClientID: "c", Version: 4, Subscriptions: []broker.Subscription{{Filter: "x"}}}
			if err := e.SaveSession(ctx, want); err != nil {
				return err
			}
			got, _, err := e.sessionOf(ctx, "c")
			if err != nil {
				return err
			}
			if err := sameSession(got, want); err != nil {
				return err
			}
			return e.wantQueue(ctx, "c", 0, "waits")
		},
	},
	{
		name: "session/odd client IDs",
		rule: "Any string is a client ID: none is refused, and none is another's.",
		check: func(ctx context.Context, e *env) error {
			for _, c := range oddClients {
				if err := e.SaveSession(ctx, broker.Session{ClientID: c, Version: 5, Principal: "p" + c}); err != nil {
					return fmt.Errorf("SaveSession(%q): %w", c, err)
				}
				if _, err := e.Enqueue(ctx, []broker.Entry{entry("for "+c, c)}); err != nil {
					return fmt.Errorf("Enqueue for %q: %w", c, err)
				}
			}
			for i, c := range oddClients {
				s, found, err := e.sessionOf(ctx, c)
				if err != nil || !found || s.Principal != "p"+c {
					return fmt.Errorf("session %q: found %v, principal %q, %w", c, found, s.Principal, errors.Join(errMissing, err))
				}
				if err := e.wantQueue(ctx, c, 0, "for "+c); err != nil {
					return err
				}
				if err := e.DeleteSession(ctx, c); err != nil {
					return err
				}
				for _, other := range oddClients[i+1:] {
					if err := e.wantQueue(ctx, other, 0, "for "+other); err != nil {
						return fmt.Errorf("after DeleteSession(%q): %w", c, err)
					}
				}
			}
			for s := range e.Sessions(ctx) {
				return fmt.Errorf("session %q is still there", s.ClientID)
			}
			return nil
		},
	},
	{
		name: "session/delete removes the queue",
		rule: "DeleteSession removes the session and its queue, also one without a saved session; a session made anew begins with an empty queue.",
		check: func(ctx context.Context, e *env) error {
			if err := e.SaveSession(ctx, fullSession("c")); err != nil {
				return err
			}
			if _, err := e.Enqueue(ctx, []broker.Entry{entry("both", "c", "other"), entry("one", "c")}); err != nil {
				return err
			}
			return first(
				func() error { return e.DeleteSession(ctx, "c") },
				func() error {
					if _, found, err := e.sessionOf(ctx, "c"); err != nil || found {
						return fmt.Errorf("session found %v, %w", found, errors.Join(errMissing, err))
					}
					return e.wantQueue(ctx, "c", 0)
				},
				func() error { return e.wantQueue(ctx, "other", 0, "both") },
				func() error { _, err := e.Enqueue(ctx, []broker.Entry{entry("new", "c")}); return err },
				func() error { return e.wantQueue(ctx, "c", 0, "new") },
				func() error { return e.DeleteSession(ctx, "c") },
				func() error { return e.wantQueue(ctx, "c", 0) },
			)
		},
	},
	{
		name:    "session/tail",
		rule:    "Sessions tells the number of the last message in each queue, 0 if there is none, also after a restart; whatever SaveSession was given.",
		reopens: true,
		check: func(ctx context.Context, e *env) error {
			for _, c := range []string{"full", "empty", "never"} {
				if err := e.SaveSession(ctx, broker.Session{ClientID: c, Version: 5, Tail: 7}); err != nil {
					return err
				}
			}
			seq, err := e.Enqueue(ctx, []broker.Entry{entry("1", "full", "empty"), entry("2", "full"), entry("3", "other")})
			if err != nil {
				return err
			}
			if err := errors.Join(e.Dequeue(ctx, "full", seq), e.Dequeue(ctx, "empty", seq)); err != nil {
				return err
			}
			tails := func() error {
				for c, want := range map[string]uint64{"full": seq + 1, "empty": 0, "never": 0} {
					s, _, err := e.sessionOf(ctx, c)
					if err != nil || s.Tail != want {
						return fmt.Errorf("session %q has Tail %d, want %d, %w", c, s.Tail, want, errors.Join(errMissing, err))
					}
				}
				return nil
			}
			if err := tails(); err != nil {
				return err
			}
			e.reopen()
			return tails()
		},
	},
	{
		name:    "session/reopen",
		rule:    "Sessions and queues are there after a restart, and what was deleted is not.",
		reopens: true,
		check: func(ctx context.Context, e *env) error {
			for _, c := range []string{"kept", "gone"} {
				if err := e.SaveSession(ctx, fullSession(c)); err != nil {
					return err
				}
			}
			if _, err := e.Enqueue(ctx, []broker.Entry{entry("1", "kept", "gone"), entry("2", "kept"), entry("3", "gone")}); err != nil {
				return err
			}
			if err := e.DeleteSession(ctx, "gone"); err != nil {
				return err
			}
			e.reopen()
			if _, found, err := e.sessionOf(ctx, "gone"); err != nil || found {
				return fmt.Errorf("deleted session found %v, %w", found, errors.Join(errMissing, err))
			}
			got, _, err := e.sessionOf(ctx, "kept")
			if err != nil {
				return err
			}
			return first(
				func() error { return sameSession(got, fullSession("kept")) },
				func() error { return e.wantQueue(ctx, "kept", 0, "1", "2") },
				func() error { return e.wantQueue(ctx, "gone", 0) },
			)
		},
	},
	{
		name: "session/shares no memory",
		rule: "The Subscriptions and the Will that SaveSession was given may be changed afterwards, and so may those that Sessions gave. (What a Message points to nobody changes.)",
		check: func(ctx context.Context, e *env) error {
			s := fullSession("c")
			if err := e.SaveSession(ctx, s); err != nil {
				return err
			}
			spoil := func(s broker.Session) {
				s.Subscriptions[0] = broker.Subscription{Filter: "spoilt"}
				s.Will.Message.Topic = "spoilt"
				s.Will.Due = someTime.Add(-1)
			}
			spoil(s)
			for range 2 {
				got, _, err := e.sessionOf(ctx, "c")
				if err != nil {
					return err
				}
				if err := sameSession(got, fullSession("c")); err != nil {
					return err
				}
				spoil(got)
			}
			return nil
		},
	},
	{
		name: "session/cancelled",
		rule: "With a context that is done, a method fails with the context's error and stores nothing.",
		check: func(ctx context.Context, e *env) error {
			if err := e.SaveSession(ctx, fullSession("there")); err != nil {
				return err
			}
			done, cancel := context.WithCancel(ctx)
			cancel()
			if err := e.SaveSession(done, fullSession("c")); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("SaveSession gives %v, want context.Canceled", err)
			}
			if err := e.DeleteSession(done, "there"); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("DeleteSession gives %v, want context.Canceled", err)
			}
			var last error
			for _, err := range e.Sessions(done) {
				last = err
			}
			if !errors.Is(last, context.Canceled) {
				return fmt.Errorf("Sessions ends with %v, want context.Canceled", last)
			}
			if _, found, err := e.sessionOf(ctx, "c"); err != nil || found {
				return fmt.Errorf("session found %v, %w", found, errors.Join(errMissing, err))
			}
			if _, found, err := e.sessionOf(ctx, "there"); err != nil || !found {
				return fmt.Errorf("session found %v, %w", found, errors.Join(errMissing, err))
			}
			return nil
		},
	},
}

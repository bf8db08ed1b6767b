package brokertest

import (
	"context"
	"errors"
	"fmt"

	"github.com/thingloom/thingloom/broker"
)

var retainedCases = []testCase{
	{
		name: "retained/round trip",
		rule: "SetRetained stores every field, and Retained gives it back, for the exact topic and for a wildcard.",
		check: func(ctx context.Context, e *env) error {
			want := fullMessage()
			if err := e.SetRetained(ctx, want); err != nil {
				return err
			}
			for _, filter := range []string{want.Topic, "#"} {
				found := 0
				for m, err := range e.Retained(ctx, filter) {
					if err != nil {
						return err
					}
					if err := sameMessage(m, want); err != nil {
						return err
					}
					found++
				}
				if found != 1 {
					return fmt.Errorf("Retained(%q) yields %d messages, want 1", filter, found)
				}
			}
			return nil
		},
	},
	{
		name: "retained/replace and clear",
		rule: "There is one retained message a topic, the last; an empty payload clears it [MQTT-3.3.1-6], also where there is none.",
		check: func(ctx context.Context, e *env) error {
			set := func(text string) func() error {
				return func() error { return e.SetRetained(ctx, message("t", text)) }
			}
			return first(
				set(""), set("1"), set("2"),
				func() error {
					for m, err := range e.Retained(ctx, "t") {
						if err != nil || string(m.Payload) != "2" {
							return fmt.Errorf("the retained message is %q, want 2: %w", m.Payload, errors.Join(errMissing, err))
						}
					}
					return e.wantRetained(ctx, "t", "t")
				},
				set(""),
				func() error { return e.wantRetained(ctx, "t") },
				func() error { return e.wantRetained(ctx, "#") },
				set("3"),
				func() error { return e.wantRetained(ctx, "t", "t") },
			)
		},
	},
	{
		name:  "retained/filters",
		rule:  "Retained yields what matches the filter, ordered by topic; \"a/#\" matches \"a\" [MQTT-4.7.1-2], a wildcard at the beginning matches no topic that begins with $ [MQTT-4.7.2-1], and empty levels are levels.",
		check: checkFilters,
	},
	{
		name: "retained/left early",
		rule: "Retained may be left at any point, and the loop may set and clear.",
		check: func(ctx context.Context, e *env) error {
			for _, t := range []string{"a", "b", "c"} {
				if err := e.SetRetained(ctx, message(t, "x")); err != nil {
					return err
				}
			}
			for m, err := range e.Retained(ctx, "+") {
				if err != nil {
					return err
				}
				if err := e.SetRetained(ctx, message(m.Topic, "")); err != nil {
					return err
				}
				break
			}
			return e.wantRetained(ctx, "+", "b", "c")
		},
	},
	{
		name:    "retained/reopen",
		rule:    "Retained messages are there after a restart, and cleared ones are not.",
		reopens: true,
		check: func(ctx context.Context, e *env) error {
			for _, m := range []broker.Message{message("a", "1"), message("b", "2"), message("a", "")} {
				if err := e.SetRetained(ctx, m); err != nil {
					return err
				}
			}
			e.reopen()
			return e.wantRetained(ctx, "#", "b")
		},
	},
	{
		name: "retained/cancelled",
		rule: "With a context that is done, SetRetained fails with the context's error and stores nothing, and Retained ends with it.",
		check: func(ctx context.Context, e *env) error {
			if err := e.SetRetained(ctx, message("a", "1")); err != nil {
				return err
			}
			done, cancel := context.WithCancel(ctx)
			cancel()
			if err := e.SetRetained(done, message("b", "1")); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("SetRetained gives %v, want context.Canceled", err)
			}
			for _, filter := range []string{"a", "#"} {
				var last error
				for _, err := range e.Retained(done, filter) {
					last = err
				}
				if !errors.Is(last, context.Canceled) {
					return fmt.Errorf("Retained(%q) ends with %v, want context.Canceled", filter, last)
				}
			}
			return e.wantRetained(ctx, "#", "a")
		},
	},
}

func checkFilters(ctx context.Context, e *env) error {
	// In the order of bytes, which is the order by topic.
	topics := []string{
		"$SYS", "$SYS/a", "$aws/things/t/shadow", "/", "//", "/a", "a", "a b", "a-", "a-/x", "a/", "a//b", "a/b", "a/b/c", "a/b/d/e",
		"a/bc", "a/c", "a/c/c", "a/é/c", "a0", "b", "b/b/c", "z",
	}
	for i := range topics {
		if err := e.SetRetained(ctx, message(topics[len(topics)-1-i], "x")); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		filter string
		want   []string
	}{
		{"a", []string{"a"}},
		{"a/b", []string{"a/b"}},
		{"/", []string{"/"}},
		{"none", nil},
		{"$SYS", []string{"$SYS"}},
		{"#", topics[3:]},
		{"+", []string{"a", "a b", "a-", "a0", "b", "z"}},
		{"+/#", topics[3:]},
		{"+/+", []string{"/", "/a", "a-/x", "a/", "a/b", "a/bc", "a/c"}},
		{"a/#", []string{"a", "a/", "a//b", "a/b", "a/b/c", "a/b/d/e", "a/bc", "a/c", "a/c/c", "a/é/c"}},
		{"a/+", []string{"a/", "a/b", "a/bc", "a/c"}},
		{"a/+/c", []string{"a/b/c", "a/c/c", "a/é/c"}},
		{"a/+/#", []string{"a/", "a//b", "a/b", "a/b/c", "a/b/d/e", "a/bc", "a/c", "a/c/c", "a/é/c"}},
		{"a/b/#", []string{"a/b", "a/b/c", "a/b/d/e"}},
		{"+/b/c", []string{"a/b/c", "b/b/c"}},
		{"+/b/#", []string{"a/b", "a/b/c", "a/b/d/e", "b/b/c"}},
		{"/+", []string{"/", "/a"}},
		{"/#", []string{"/", "//", "/a"}},
		{"$SYS/#", []string{"$SYS", "$SYS/a"}},
		{"$SYS/+", []string{"$SYS/a"}},
		{"$aws/things/+/shadow", []string{"$aws/things/t/shadow"}},
		{"z/#", []string{"z"}},
		{"zz/#", nil},
	} {
		if err := e.wantRetained(ctx, f.filter, f.want...); err != nil {
			return err
		}
	}
	return nil
}

package rules

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestHandle(t *testing.T) {
	log := &recorder{}
	e := open(t, NewMemStore(), binder{"log": log}, nil)
	put(t, e, "all", "SELECT 1 AS x FROM '#'", "log")
	put(t, e, "below", "SELECT 2 AS x FROM 'a/#'", "log")
	put(t, e, "one", "SELECT 3 AS x FROM 'a/+'", "log")
	put(t, e, "exact", "SELECT 4 AS x FROM 'a/b'", "log")
	put(t, e, "exact2", "SELECT 5 AS x FROM 'a/b' WHERE t > 1", "log", "log")
	put(t, e, "aws", "SELECT 6 AS x FROM '$aws/things/+/shadow/#'", "log")
	put(t, e, "direct", "SELECT topic() AS t, topic(1) AS l", "log")
	put(t, e, "off", "SELECT 7 AS x FROM '#'", "log")
	put(t, e, "counts", "SELECT 8 AS x FROM 'a/b'")
	if err := e.Disable(t.Context(), "off"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		topic, payload string
		want           []string
	}{
		{"a", "{}", []string{`all {"x":1}`}},
		{"a/", "{}", []string{`all {"x":1}`, `below {"x":2}`, `one {"x":3}`}},
		{"a/b", "{}", []string{`all {"x":1}`, `below {"x":2}`, `exact {"x":4}`, `one {"x":3}`}},
		{"a/b", `{"t":2}`, []string{`all {"x":1}`, `below {"x":2}`, `exact {"x":4}`, `exact2 {"x":5}`, `exact2 {"x":5}`, `one {"x":3}`}},
		{"a/b/c", "not json", []string{`all {"x":1}`, `below {"x":2}`}},
		{"$aws/things/t/shadow/update", "{}", []string{`aws {"x":6}`}},
		{"$aws/things", "{}", nil},
		{"$SYS", "{}", nil},
		{"$aws/rules/direct/x/y", "{}", []string{`direct {"t":"x/y","l":"x"}`}},
		{"$aws/rules/exact/x/y", "{}", []string{`exact {"x":4}`}},
		{"$aws/rules/exact", "{}", []string{`exact {"x":4}`}},
		{"$aws/rules/off/x", "{}", nil},
		{"$aws/rules/none/x", "{}", nil},
		{"$aws/rules/", "{}", nil},
	} {
		handle(t, e, c.topic, c.payload)
		got := log.outputs()
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s %s: %q, want %q", c.topic, c.payload, got, c.want)
		}
	}
	if got, want := e.Stats(), (Stats{Rules: 9, Messages: 14, Unmatched: 2, RuleNotFound: 3}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
	for name, want := range map[string]Ledger{
		"exact2": {Matched: 2, Filtered: 1, Delivered: 1},
		"counts": {Matched: 2, Delivered: 2},
		"off":    {},
		"exact":  {Matched: 4, Delivered: 4},
	} {
		wantLedger(t, e, name, want)
	}
}

// wantLedger compares all but LastFailure, and checks the identity.
func wantLedger(t *testing.T, e *Engine, name string, want Ledger) {
	t.Helper()
	info, err := e.Rule(name)
	if err != nil {
		t.Error(err)
		return
	}
	got := info.Ledger
	if sum := got.Filtered + got.Delivered + got.Pending + got.DeadLettered + got.Failed; sum != got.Matched {
		t.Errorf("%s: matched %d, but %d accounted for", name, got.Matched, sum)
	}
	if failed := got.DeadLettered + got.Failed; (got.LastFailure != nil) != (failed > 0) {
		t.Errorf("%s: %d failures, the last being %v", name, failed, got.LastFailure)
	}
	got.LastFailure = nil
	if want.Reasons == nil {
		want.Reasons = map[Reason]uint64{}
	}
	if _, other := want.Reasons[ReasonDeadLetter]; want.DeadLettered > 0 && !other {
		want.Reasons = maps.Clone(want.Reasons)
		want.Reasons[ReasonErrorAction] = want.DeadLettered // the usual one
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("ledger of %s is %+v\nwant %+v", name, got, want)
	}
}

// TestFiring looks at what an action is given.
func TestFiring(t *testing.T) {
	log := &recorder{}
	e := open(t, NewMemStore(), binder{"log": log}, nil)
	put(t, e, "r", "SET @a = t + 1, @b = nothing SELECT @a AS a FROM 'x'", "log", "log")
	m := &Message{Topic: "x", Payload: []byte(`{"t":1}`), TraceID: "tr/ace"}
	if err := e.Handle(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if len(log.firings) != 2 {
		t.Fatalf("%d firings", len(log.firings))
	}
	for i, f := range log.firings {
		if f.Rule != "r" || f.Version != 1 || f.Action != i || f.Trace != "tr/ace" || f.Message != m || string(f.Output) != `{"a":2}` ||
			f.Hops != 1 || f.Err != nil || f.ID() != fmt.Sprint("tr/ace/r/", i) {
			t.Errorf("firing %d is %+v with ID %s", i, f, f.ID())
		}
		if len(f.Variables) != 2 || f.Variables[0].Name != "a" || string(f.Variables[0].Value) != "2" ||
			f.Variables[1].Name != "b" || f.Variables[1].Value != nil {
			t.Errorf("variables are %v", f.Variables)
		}
	}
	log.firings = nil
	put(t, e, "s", "SELECT 1 AS x FROM 'x'", "log")
	m.TraceID = ""
	for range 2 {
		if err := e.Handle(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	a, b, c := log.firings[0], log.firings[2], log.firings[3]
	if len(a.Trace) != 36 || a.Trace != b.Trace || a.Trace == c.Trace || a.ID() == b.ID() {
		t.Errorf("made up traces are %q, %q and %q", a.Trace, b.Trace, c.Trace)
	}
}

func TestParseID(t *testing.T) {
	for _, c := range []Firing{{Trace: "t", Rule: "r", Action: 0}, {Trace: "a/b//c", Rule: "r_1", Action: 61}, {Trace: "", Rule: "r", Action: ErrorAction}} {
		if trace, rule, action, err := parseID(c.ID()); err != nil || trace != c.Trace || rule != c.Rule || action != c.Action {
			t.Errorf("%s is parsed as %q, %q, %d, %v", c.ID(), trace, rule, action, err)
		}
	}
	for _, id := range []string{"", "r/0", "0", "t/r/-1", "t/r/62", "t/r/1000", "t/r/", "t/r/x"} {
		if _, _, _, err := parseID(id); !errors.Is(err, ErrID) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

type resourceError struct{ error }

func (e resourceError) Unwrap() error  { return e.error }
func (resourceError) Resource() string { return "https://example.com/<x>" }

type named struct{ ActionFunc }

func (named) Resource() string { return "the table" }

type giveUp struct{ error }

func (giveUp) Permanent() bool { return true }

// TestFailures goes through what can go wrong in the actions of a rule: what
// Handle returns, what the ledger says, and which error document there is.
func TestFailures(t *testing.T) {
	fails := func(err error) Action { return ActionFunc(func(context.Context, Firing) error { return err }) }
	errDown := errors.New("server down & out")
	ok := &recorder{}
	dead := &recorder{}
	kept := fmt.Errorf("%w: %w", ErrDeadLettered, errDown)
	b := binder{
		"kept": fails(kept), "ok": ok, "dead": dead, "webhook": fails(resourceError{errDown}), "permanent": fails(giveUp{errDown}),
		"dynamoDB":  named{func(context.Context, Firing) error { return errDown }},
		"panics":    ActionFunc(func(context.Context, Firing) error { panic("boom") }),
		"panicsErr": ActionFunc(func(context.Context, Firing) error { panic(errDown) }),
		"wrapped":   fails(fmt.Errorf("x: %w", giveUp{errDown})),
	}
	for _, c := range []struct {
		name     string
		actions  []string
		held     bool // Handle returns an error
		ledger   Ledger
		failures []ErrorFailure
	}{
		{"all is well", []string{"ok", "!dead"}, false, Ledger{Delivered: 1}, nil},
		{"one fails, nobody takes it", []string{"webhook", "ok"}, true, Ledger{Failed: 1, Reasons: map[Reason]uint64{ReasonNoErrorAction: 1}}, nil},
		{"one fails, the error action has it", []string{"webhook", "ok", "!dead"}, false, Ledger{DeadLettered: 1},
			[]ErrorFailure{{"WebhookAction", "https://example.com/<x>", "server down & out"}}},
		{"three fail, one document lists them", []string{"dynamoDB", "ok", "panics", "webhook", "!dead"}, false, Ledger{DeadLettered: 1},
			[]ErrorFailure{{"DynamoAction", "the table", "server down & out"}, {"PanicsAction", "", "rules: panic: boom"},
				{"WebhookAction", "https://example.com/<x>", "server down & out"}}},
		{"the error action fails too", []string{"webhook", "ok", "!dynamoDB"}, true, Ledger{Failed: 1, Reasons: map[Reason]uint64{ReasonErrorActionFailed: 1}}, nil},
		{"the error action panics", []string{"webhook", "!panics"}, true, Ledger{Failed: 1, Reasons: map[Reason]uint64{ReasonErrorActionFailed: 1}}, nil},
		{"a permanent failure holds nobody", []string{"permanent"}, false, Ledger{Failed: 1, Reasons: map[Reason]uint64{ReasonNoErrorAction: 1}}, nil},
		{"a wrapped permanent one neither", []string{"wrapped", "!webhook"}, false, Ledger{Failed: 1, Reasons: map[Reason]uint64{ReasonErrorActionFailed: 1}}, nil},
		{"a dead letter has it", []string{"kept", "ok", "kept"}, false, Ledger{DeadLettered: 1, Reasons: map[Reason]uint64{ReasonDeadLetter: 1}}, nil},
		{"a dead letter has it, and the error action fails", []string{"kept", "!webhook"}, false, Ledger{DeadLettered: 1, Reasons: map[Reason]uint64{ReasonDeadLetter: 1}}, nil},
		{"a dead letter has one of two", []string{"kept", "webhook"}, true, Ledger{Failed: 1, Reasons: map[Reason]uint64{ReasonNoErrorAction: 1}}, nil},
		{"a dead letter has it, and the error action too", []string{"kept", "!dead"}, false, Ledger{DeadLettered: 1},
			[]ErrorFailure{{"KeptAction", "", "rules: dead-lettered: server down & out"}}},
		{"nor a panic", []string{"panicsErr", "ok"}, false, Ledger{Failed: 1, Reasons: map[Reason]uint64{ReasonNoErrorAction: 1}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dead.outputs()
			ok.outputs()
			e := open(t, NewMemStore(), b, nil)
			put(t, e, "r", "SELECT 1 AS x FROM 'a/b'", c.actions...)
			put(t, e, "neighbour", "SELECT 2 AS x FROM 'a/#'", "ok")
			m := &Message{Topic: "a/b", ClientID: "c1", SourceIP: "192.0.2.1", TraceID: "trace", Payload: []byte("\x00{\"x\":1}")}
			err := e.Handle(t.Context(), m)
			var ae *ActionError
			if (err != nil) != c.held || c.held && (!errors.As(err, &ae) || ae.Rule != "r" || !errors.Is(err, errDown)) {
				t.Errorf("Handle returns %v", err)
			}
			if held := e.Stats().Held; (held == 1) != c.held {
				t.Errorf("held is %d", held)
			}
			c.ledger.Matched = 1
			wantLedger(t, e, "r", c.ledger)
			wantLedger(t, e, "neighbour", Ledger{Matched: 1, Delivered: 1})
			if !slices.Contains(ok.outputs(), `neighbour {"x":2}`) {
				t.Error("the neighbour did not run")
			}
			docs := dead.firings
			if len(c.failures) == 0 {
				if len(docs) != 0 {
					t.Errorf("error documents: %v", docs)
				}
				return
			}
			if len(docs) != 1 {
				t.Fatalf("%d error documents", len(docs))
			}
			f := docs[0]
			if f.Action != ErrorAction || f.ID() != "trace/r/error" || f.Message != m || f.Err == nil {
				t.Errorf("the firing of the error action is %+v", f)
			}
			want, _ := json.Marshal(c.failures)
			text := `{"ruleName":"r","topic":"a/b","cloudwatchTraceId":"trace","clientId":"c1","sourceIp":"192.0.2.1",` +
				`"base64OriginalPayload":"` + base64.StdEncoding.EncodeToString(m.Payload) + `","failures":` + string(want) + `}`
			text = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(text)
			if string(f.Output) != text {
				t.Errorf("document is\n%s\nwant\n%s", f.Output, text)
			}
		})
	}
}

// TestDocumentOfBareMessage has nothing that is not known.
func TestDocumentOfBareMessage(t *testing.T) {
	dead := &recorder{}
	e := open(t, NewMemStore(), binder{"dead": dead, "s3": ActionFunc(func(context.Context, Firing) error { return errors.New("no") })}, nil)
	put(t, e, "r", "SELECT 1 AS x FROM 'a'", "s3", "!dead")
	if err := e.Handle(t.Context(), &Message{Topic: "a"}); err != nil {
		t.Fatal(err)
	}
	f := dead.firings[0]
	want := `{"ruleName":"r","topic":"a","cloudwatchTraceId":"` + f.Trace + `","clientId":"n/a","base64OriginalPayload":"",` +
		`"failures":[{"failedAction":"S3Action","failedResource":"","errorMessage":"no"}]}`
	if string(f.Output) != want {
		t.Errorf("document is\n%s\nwant\n%s", f.Output, want)
	}
}

// TestStatementFails: what a statement meets is counted and told, and neither
// holds the message nor touches a neighbour.
func TestStatementFails(t *testing.T) {
	ok, dead := &recorder{}, &recorder{}
	var mu sync.Mutex
	var told []string
	var text strings.Builder
	shadow := func(_ context.Context, thing, _, _ string) (json.RawMessage, error) {
		if thing == "panic" {
			panic("boom")
		}
		return nil, errors.New("no such shadow")
	}
	e := open(t, NewMemStore(), binder{"ok": ok, "dead": dead}, &Options{
		Compile: &CompileOptions{Funcs: &Funcs{Shadow: shadow}},
		Logger:  slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Trace: &Trace{Failed: func(rule string, reason Reason, err error) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, rule+" "+string(reason))
		}},
	})
	put(t, e, "fails", "SELECT get_thing_shadow('x', 'role') AS s FROM 'a'", "ok", "!dead")
	put(t, e, "panics", "SELECT get_thing_shadow('panic', 'role') AS s FROM 'a'", "ok", "!dead")
	put(t, e, "set", "SET @s = get_thing_shadow('panic', 'role') SELECT @s AS s FROM 'a'", "ok", "!dead")
	put(t, e, "works", "SELECT 1 AS x FROM 'a'", "ok")
	for range 5 {
		handle(t, e, "a", "{}")
	}
	if got := ok.outputs(); len(got) != 5 || got[0] != `works {"x":1}` || len(dead.outputs()) != 0 {
		t.Errorf("ran %q", got)
	}
	wantLedger(t, e, "fails", Ledger{Matched: 5, Failed: 5, Reasons: map[Reason]uint64{ReasonStatement: 5}})
	wantLedger(t, e, "panics", Ledger{Matched: 5, Failed: 5, Reasons: map[Reason]uint64{ReasonPanic: 5}})
	wantLedger(t, e, "set", Ledger{Matched: 5, Failed: 5, Reasons: map[Reason]uint64{ReasonPanic: 5}})
	slices.Sort(told)
	if len(told) != 15 || told[0] != "fails statement" || told[14] != "set panic" {
		t.Errorf("Trace.Failed was told %q", told)
	}
	// The 1st, 2nd and 4th of each rule.
	if n := strings.Count(text.String(), "did not deliver"); n != 9 {
		t.Errorf("%d warnings:\n%s", n, text.String())
	}
	if info, _ := e.Rule("fails"); info.Ledger.LastFailure.Reason != ReasonStatement || !strings.Contains(info.Ledger.LastFailure.Err.Error(), "no such shadow") ||
		!info.Ledger.LastFailure.Time.Equal(start) {
		t.Errorf("last failure is %+v", info.Ledger.LastFailure)
	}
}

// TestHops lets rules feed themselves through a tiny broker: directly, in a
// cycle of two, and through a queue that restores the count.
func TestHops(t *testing.T) {
	var e *Engine
	published := 0
	publish := func(ctx context.Context, topic string, payload []byte) error {
		published++
		return e.Handle(ctx, &Message{Topic: topic, Payload: payload})
	}
	var queue []Firing
	dead := &recorder{}
	b := binder{
		"a":     ActionFunc(func(ctx context.Context, f Firing) error { return publish(ctx, "a", f.Output) }),
		"b":     ActionFunc(func(ctx context.Context, f Firing) error { return publish(ctx, "b", f.Output) }),
		"queue": ActionFunc(func(_ context.Context, f Firing) error { queue = append(queue, f); return ErrPending }),
		"dead":  dead,
	}
	e = open(t, NewMemStore(), b, nil)
	put(t, e, "self", "SELECT * FROM 'a'", "a", "!dead")
	handle(t, e, "a", `{}`)
	if published != 11 || e.Stats().HopLimit != 1 {
		t.Errorf("published %d times, %+v", published, e.Stats())
	}
	if len(dead.firings) != 1 || !errors.Is(dead.firings[0].Err, ErrHopLimit) || dead.firings[0].Hops != 11 {
		t.Errorf("error action was given %v", dead.firings)
	}
	wantLedger(t, e, "self", Ledger{Matched: 11, Delivered: 10, DeadLettered: 1})

	published = 0
	put(t, e, "self", "SELECT * FROM 'a'", "b")
	put(t, e, "back", "SELECT * FROM 'b'", "a")
	handle(t, e, "a", `{}`) // no error: the limit is permanent
	if published != 11 {
		t.Errorf("the cycle published %d times", published)
	}

	published = 0
	put(t, e, "self", "SELECT * FROM 'a'", "queue")
	handle(t, e, "a", `{}`)
	for len(queue) > 0 {
		f := queue[0]
		queue = queue[1:]
		f.Done(publish(WithHops(context.Background(), f.Hops), "a", f.Output))
	}
	if published != 11 || e.Stats().HopLimit != 3 {
		t.Errorf("the queue published %d times, %+v", published, e.Stats())
	}
	if n := Hops(WithHops(t.Context(), 3)); n != 3 || Hops(t.Context()) != 0 {
		t.Errorf("hops are %d", n)
	}
	type key struct{}
	ctx := context.Context(&hopContext{context.WithValue(t.Context(), key{}, "v"), 4})
	if ctx.Value(key{}) != "v" || Hops(ctx) != 4 || Hops(context.WithoutCancel(ctx)) != 4 {
		t.Error("a hopContext hides its parent")
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/webhook"
	"github.com/thingloom/thingloom/rules"
)

// holding binds actions that keep their firings, and an error action that keeps its documents.
type holding struct {
	mu        sync.Mutex
	firings   []rules.Firing
	documents []string
}

func (h *holding) Bind(_ context.Context, s rules.ActionSpec) (rules.Action, error) {
	return rules.ActionFunc(func(_ context.Context, f rules.Firing) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if s.Type == "tell" {
			h.documents = append(h.documents, string(f.Output))
			return nil
		}
		h.firings = append(h.firings, f)
		return rules.ErrPending
	}), nil
}

// payloadsOf are how many payloads each document has.
func payloadsOf(t *testing.T, documents []string) (all []int) {
	t.Helper()
	for _, text := range documents {
		var d struct {
			Payloads []json.RawMessage `json:"payloadsWithMetadata"`
			Failures []json.RawMessage
		}
		if err := json.Unmarshal([]byte(text), &d); err != nil || len(d.Failures) != 1 {
			t.Fatalf("%s: %v", text, err)
		}
		all = append(all, max(1, len(d.Payloads))) // an ordinary document is of one
	}
	slices.Sort(all)
	return all
}

func TestBatches(t *testing.T) {
	letter := func(err error, dead bool) error {
		return &actions.FailedError{Action: "http", DeadLettered: dead, Err: err}
	}
	batch := func(n int) error {
		return &webhook.BatchError{Payloads: n, Err: actions.Permanent(errors.New("400"))}
	}
	for _, tt := range []struct {
		name string
		errs func() []error
		docs []int
		took time.Duration
	}{
		{"a whole batch", func() []error { e := batch(3); return []error{letter(e, true), letter(e, true), letter(e, true)} }, []int{3}, 0},
		{"two batches", func() []error {
			a, b := batch(2), batch(2)
			return []error{letter(a, true), letter(b, true), letter(a, true), letter(b, true)}
		}, []int{2, 2}, 0},
		{"one that never comes", func() []error { e := batch(3); return []error{letter(e, true), letter(e, true)} }, []int{2}, batchPatience},
		{"one without its dead letter", func() []error { e := batch(3); return []error{letter(e, true), letter(e, false), letter(e, true)} }, []int{1, 2}, 0},
		{"no batch", func() []error {
			e := batch(1)
			return []error{letter(e, true), errors.New("x"), letter(batch(1), true)}
		}, []int{1, 1, 1}, 0},
		{"tried often", func() []error {
			e := &webhook.BatchError{Payloads: 2, Err: errors.New("503")}
			return []error{letter(e, true), letter(e, true)}
		}, []int{1, 1}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := new(holding)
				e, err := rules.Open(t.Context(), rules.NewMemStore(), h, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				if err := e.Put(t.Context(), rules.Rule{Name: "r", SQL: "SELECT * FROM 'a'", Actions: []rules.ActionSpec{{Type: "http"}}, ErrorAction: &rules.ActionSpec{Type: "tell"}}); err != nil {
					t.Fatal(err)
				}
				errs := tt.errs()
				for i := range errs {
					if err := e.Handle(t.Context(), &rules.Message{Topic: "a", Payload: fmt.Append(nil, i)}); err != nil {
						t.Fatal(err)
					}
				}
				b, begin := newBatches(), time.Now()
				var wg sync.WaitGroup
				for i, err := range errs {
					wg.Go(func() { b.done(h.firings[i], err) })
				}
				wg.Wait()
				if got := payloadsOf(t, h.documents); !slices.Equal(got, tt.docs) || time.Since(begin) != tt.took || len(b.open) != 0 {
					t.Errorf("documents of %v payloads after %v, want %v after %v; %d left open", got, time.Since(begin), tt.docs, tt.took, len(b.open))
				}
				if info, err := e.Rule("r"); err != nil || info.Ledger.DeadLettered != uint64(len(errs)) || info.Ledger.Pending != 0 {
					t.Errorf("%+v, %v", info.Ledger, err)
				}
			})
		})
	}
}

// A batch that the other side refuses is one document of the error action.
func TestBatchFails(t *testing.T) {
	var mu sync.Mutex
	var sizes []int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var all []json.RawMessage
		if err := json.Unmarshal(body, &all); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		mu.Lock()
		sizes = append(sizes, len(all))
		mu.Unlock()
		http.Error(w, "not these", http.StatusBadRequest)
	}))
	t.Cleanup(server.Close)
	p := start(t)
	d := p.device("s1")
	rule := `{"sql":"SELECT n FROM 'sensors/+/x'","actions":[{"http":{"url":"` + server.URL + `/in","enableBatching":true,"batchConfig":{"maxBatchOpenMs":200,"maxBatchSize":4}}}],
		"errorAction":{"republish":{"topic":"devices/s1/failed","qos":1,` + roleARN + `}}}`
	if status, answer := p.curl("POST", "/rules/batch", rule); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	failed := d.sub("devices/s1/failed")
	var payloads []string
	for n := range 8 {
		payloads = append(payloads, fmt.Sprintf(`{"n":%d}`, n))
	}
	d.publishAll("sensors/s1/x", payloads)
	var documents, seen []string
	for told := 0; told < len(payloads); {
		_, text, _ := strings.Cut(next(t, failed), " ")
		documents = append(documents, text)
		told += payloadsOf(t, []string{text})[0]
		var doc rules.BatchErrorDocument
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		for _, payload := range doc.Payloads {
			seen = append(seen, string(payload.OriginalPayload))
		}
		if len(doc.Payloads) > 0 && (doc.Topic != "sensors/s1/x" || doc.Failures[0].Action != "HttpAction" || len(doc.Failures[0].AffectedIDs) != len(doc.Payloads) || !strings.Contains(doc.Failures[0].Message, "not these")) {
			t.Errorf("document %s", text)
		}
	}
	mu.Lock()
	slices.Sort(sizes)
	if got := payloadsOf(t, documents); !slices.Equal(got, sizes) {
		t.Errorf("documents of %v payloads for requests of %v", got, sizes)
	}
	mu.Unlock()
	slices.Sort(seen)
	if len(slices.Compact(seen)) != len(seen) {
		t.Errorf("told twice: %q", seen)
	}
	p.has("/api/rules/batch", `"matched":8,"filtered":0,"delivered":0,"pending":0,"deadLettered":8,"failed":0`)
}

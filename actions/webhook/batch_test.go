package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/actionstest"
	"github.com/thingloom/thingloom/actions/webhook"
	"github.com/thingloom/thingloom/internal/sql"
)

// A sent is one request as a transport that answers at once saw it.
type sent struct {
	at     time.Duration
	url    string
	body   string
	header http.Header
}

type transport struct {
	mu     sync.Mutex
	begin  time.Time
	all    []sent
	status int
}

func (tr *transport) RoundTrip(q *http.Request) (*http.Response, error) {
	if err := q.Context().Err(); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.all = append(tr.all, sent{time.Since(tr.begin), q.URL.String(), string(body), q.Header.Clone()})
	status := tr.status
	if status == 0 {
		status = 200
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: http.Header{}, Body: http.NoBody, Request: q}, nil
}

func (tr *transport) bodies() (all []string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, s := range tr.all {
		all = append(all, s.body)
	}
	slices.Sort(all)
	return all
}

// batches delivers payloads that come two milliseconds after one another.
func batches(t *testing.T, tr *transport, params string, requests ...*actions.Request) (errs []error) {
	t.Helper()
	tr.begin = time.Now()
	a := open(t, &webhook.Options{Client: &http.Client{Transport: tr}}, params)
	errs = make([]error, len(requests))
	var wg sync.WaitGroup
	for i, r := range requests {
		wg.Go(func() { errs[i] = a.Do(t.Context(), r) })
		synctest.Wait() // so that they come in order
		time.Sleep(2 * time.Millisecond)
	}
	wg.Wait()
	return errs
}

func numbers(from, to int) (all []*actions.Request) {
	for i := from; i < to; i++ {
		all = append(all, &actions.Request{ID: fmt.Sprint("id", i), Rule: "r", Topic: "t", Payload: fmt.Append(nil, i), Source: fmt.Appendf(nil, `{"n":%d}`, i)})
	}
	return all
}

func TestBatches(t *testing.T) {
	const url = `"url":"http://h/in","enableBatching":true`
	quoted := func(n int) []byte { return []byte(`"` + strings.Repeat("x", n-2) + `"`) }
	for _, tt := range []struct {
		name, params string
		requests     []*actions.Request
		bodies       []string
		last         time.Duration // when the last one was sent
	}{
		{"by time", `{` + url + `}`, numbers(0, 3), []string{"[0,1,2]"}, 20 * time.Millisecond},
		{"by the time of the rule", `{` + url + `,"batchConfig":{"maxBatchOpenMs":5}}`, numbers(0, 12), []string{"[0,1,2]", "[3,4,5]", "[6,7,8]", "[9,10,11]"}, 23 * time.Millisecond},
		{"by number", `{` + url + `}`, numbers(0, 11), []string{"[0,1,2,3,4,5,6,7,8,9]", "[10]"}, 40 * time.Millisecond},
		{"by the number of the rule", `{` + url + `,"batchConfig":{"maxBatchSize":2}}`, numbers(0, 4), []string{"[0,1]", "[2,3]"}, 6 * time.Millisecond},
		{"by bytes reached", `{` + url + `,"batchConfig":{"maxBatchSizeBytes":100}}`, []*actions.Request{{Payload: quoted(50)}, {Payload: quoted(50)}},
			[]string{"[" + string(quoted(50)) + "," + string(quoted(50)) + "]"}, 2 * time.Millisecond},
		{"by bytes exceeded", `{` + url + `,"batchConfig":{"maxBatchSizeBytes":100}}`, []*actions.Request{{Payload: quoted(60)}, {Payload: quoted(61)}},
			[]string{"[" + string(quoted(60)) + "]", "[" + string(quoted(61)) + "]"}, 22 * time.Millisecond},
		{"one beyond the bytes is a batch", `{` + url + `,"batchConfig":{"maxBatchSizeBytes":100}}`, []*actions.Request{{Payload: quoted(300)}}, []string{"[" + string(quoted(300)) + "]"}, 0},
		{"by topic", `{` + url + `}`, []*actions.Request{{Topic: "a", Payload: []byte(`1`)}, {Topic: "b", Payload: []byte(`2`)}, {Topic: "a", Payload: []byte(`3`)}}, []string{"[1,3]", "[2]"}, 22 * time.Millisecond},
		{"across topics", `{` + url + `,"batchConfig":{"batchAcrossTopics":true}}`, []*actions.Request{{Topic: "a", Payload: []byte(`1`)}, {Topic: "b", Payload: []byte(`2`)}}, []string{"[1,2]"}, 20 * time.Millisecond},
		{"by rule", `{` + url + `}`, []*actions.Request{{Rule: "a", Payload: []byte(`1`)}, {Rule: "b", Payload: []byte(`2`)}}, []string{"[1]", "[2]"}, 22 * time.Millisecond},
		{"by URL", `{"url":"http://h/in/${n}","confirmationUrl":"http://h/in/","enableBatching":true}`, numbers(0, 2), []string{"[0]", "[1]"}, 22 * time.Millisecond},
		{"not at all", `{"url":"http://h/in","batchConfig":{"maxBatchSize":2}}`, numbers(0, 2), []string{"0", "1"}, 2 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := &transport{}
				if err := errors.Join(batches(t, tr, tt.params, tt.requests...)...); err != nil {
					t.Error(err)
				}
				if got := tr.bodies(); !slices.Equal(got, tt.bodies) {
					t.Errorf("got %q, want %q", got, tt.bodies)
				}
				if last := tr.all[len(tr.all)-1].at; last != tt.last {
					t.Errorf("the last after %v, want %v", last, tt.last)
				}
			})
		})
	}
}

func TestBatchHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &transport{}
		batches(t, tr, `{"url":"http://h/in","enableBatching":true,"headers":[{"key":"X-N","value":"${n}"}]}`, numbers(0, 3)...)
		h := tr.all[0].header
		if len(tr.all) != 1 || h.Get("X-N") != "2" || h.Get("Content-Type") != "application/json" || h.Get("X-Request-Id") != "" {
			t.Errorf("%d requests, headers %v", len(tr.all), h)
		}
	})
}

// What a request meets all of its payloads meet; one that is no JSON is not in it.
func TestBatchFails(t *testing.T) {
	for status, permanent := range map[int]bool{400: true, 503: false} {
		synctest.Test(t, func(t *testing.T) {
			tr := &transport{status: status}
			requests := append(numbers(0, 2), &actions.Request{Rule: "r", Topic: "t", Payload: []byte("raw")})
			errs := batches(t, tr, `{"url":"http://h/in","enableBatching":true}`, requests...)
			var first, second *webhook.BatchError
			if !errors.As(errs[0], &first) || !errors.As(errs[1], &second) || first != second || first.Payloads != 2 || errors.As(errs[2], &first) {
				t.Errorf("%d: %v", status, errs)
			}
			for i, err := range errs {
				var about interface{ Resource() string }
				if err == nil || !errors.As(err, &about) || about.Resource() != "http://h/in" || actions.IsPermanent(err) != (permanent || i == 2) {
					t.Errorf("%d: payload %d: %v", status, i, err)
				}
			}
			if got := tr.bodies(); !slices.Equal(got, []string{"[0,1]"}) {
				t.Errorf("sent %q", got)
			}
		})
	}
}

// When the first one has to leave, the others do not wait for ever.
func TestBatchWithoutItsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &transport{}
		a := open(t, &webhook.Options{Client: &http.Client{Transport: tr}}, `{"url":"http://h/in","enableBatching":true,"batchConfig":{"maxBatchOpenMs":200}}`)
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 3)
		all := numbers(0, 3)
		go func() { errs <- a.Do(ctx, all[0]) }()
		synctest.Wait()
		gone, leave := context.WithCancel(t.Context())
		go func() { errs <- a.Do(t.Context(), all[1]) }()
		go func() { errs <- a.Do(gone, all[2]) }()
		synctest.Wait()
		leave()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		cancel()
		for range 2 {
			if err := <-errs; !errors.Is(err, context.Canceled) || actions.IsPermanent(err) {
				t.Errorf("%v", err)
			}
		}
		if err := a.Do(t.Context(), all[1]); err != nil || !slices.Equal(tr.bodies(), []string{"[1]"}) {
			t.Errorf("again: %v, %q", err, tr.bodies())
		}
	})
}

// Every payload is sent once whatever comes together, in an array that is JSON.
func TestBatchesLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &transport{}
		a := open(t, &webhook.Options{Client: &http.Client{Transport: tr}}, `{"url":"http://h/in","enableBatching":true,"batchConfig":{"maxBatchSize":3,"maxBatchSizeBytes":100}}`)
		var wg sync.WaitGroup
		for _, r := range numbers(0, 500) {
			wg.Go(func() {
				time.Sleep(time.Duration(r.Payload[len(r.Payload)-1]) * time.Millisecond)
				if err := a.Do(t.Context(), r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		seen := map[int]bool{}
		for _, body := range tr.bodies() {
			var all []int
			if err := json.Unmarshal([]byte(body), &all); err != nil || len(all) > 3 {
				t.Errorf("%s: %v", body, err)
			}
			for _, n := range all {
				if seen[n] {
					t.Errorf("%d twice", n)
				}
				seen[n] = true
			}
		}
		if len(seen) != 500 {
			t.Errorf("%d payloads arrived", len(seen))
		}
	})
}

func TestBatchConformance(t *testing.T) {
	actionstest.TestAction(t, func(t *testing.T) actionstest.Plugin {
		tr := &transport{}
		return actionstest.Plugin{
			Spec:   webhook.HTTPSpec(&webhook.Options{Client: &http.Client{Transport: tr}}),
			Params: json.RawMessage(`{"url":"http://h/in","enableBatching":true,"batchConfig":{"maxBatchOpenMs":5}}`),
			Invalid: []json.RawMessage{json.RawMessage(`{"url":"http://h","batchConfig":{"maxBatchOpenMs":4}}`), json.RawMessage(`{"url":"http://h","batchConfig":{"maxBatchOpenMs":201}}`),
				json.RawMessage(`{"url":"http://h","batchConfig":{"maxBatchSize":1}}`), json.RawMessage(`{"url":"http://h","batchConfig":{"maxBatchSize":11}}`),
				json.RawMessage(`{"url":"http://h","batchConfig":{"maxBatchSizeBytes":99}}`), json.RawMessage(`{"url":"http://h","batchConfig":{"maxBatchSizeBytes":131073}}`)},
			Delivered: func() (n int) {
				for _, body := range tr.bodies() {
					var all []json.RawMessage
					if err := json.Unmarshal([]byte(body), &all); err != nil {
						t.Error(err)
					}
					n += len(all)
				}
				return n
			},
		}
	})
}

func TestNoBatchConfigInErrorAction(t *testing.T) {
	ctx := sql.WithBinding(t.Context(), &sql.Binding{ErrorAction: true})
	var param *actions.ParamError
	if _, err := webhook.Spec(nil).Open(ctx, json.RawMessage(`{"url":"http://h","batchConfig":{}}`)); !errors.As(err, &param) || param.Path != "batchConfig" {
		t.Errorf("%v", err)
	}
	if _, err := webhook.Spec(nil).Open(ctx, json.RawMessage(`{"url":"http://h"}`)); err != nil {
		t.Error(err)
	}
}

// Behind a dispatcher there are as many workers as a batch needs.
func TestBatchBehindDispatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &transport{}
		cat, err := actions.NewCatalog(webhook.Spec(&webhook.Options{Client: &http.Client{Transport: tr}}))
		if err != nil {
			t.Fatal(err)
		}
		d, err := actions.NewDispatcher(cat, &actions.Options{Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		a, err := d.Open(ctx, "webhook", json.RawMessage(`{"url":"http://h/in","enableBatching":true}`))
		if err != nil {
			t.Fatal(err)
		}
		outcome := make(chan error, 10)
		for _, r := range numbers(0, 10) {
			r.Done = func(err error) { outcome <- err }
			if err := a.Do(ctx, r); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		for range 10 {
			if err := <-outcome; err != nil {
				t.Error(err)
			}
		}
		if got := tr.bodies(); !slices.Equal(got, []string{"[0,1,2,3,4,5,6,7,8,9]"}) {
			t.Errorf("sent %q", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

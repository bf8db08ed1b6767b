package shadowmqtt_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thingloom/thingloom/internal/topic"
	"github.com/thingloom/thingloom/internal/vectors"
	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowmqtt"
)

// A bus is a broker in memory: Publish calls the handlers that match.
type bus struct {
	mu       sync.Mutex
	handlers []*handler
	messages []message
	fail     error
}

type handler struct {
	filter string
	h      func(context.Context, string, []byte) error
}

type message struct{ topic, payload string }

func (b *bus) Publish(ctx context.Context, name string, payload []byte) error {
	b.mu.Lock()
	if b.fail != nil {
		defer b.mu.Unlock()
		return b.fail
	}
	b.messages = append(b.messages, message{name, string(payload)})
	handlers := slices.Clone(b.handlers)
	b.mu.Unlock()
	for _, h := range handlers {
		if topic.Match(h.filter, name) {
			if err := h.h(ctx, name, payload); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bus) Subscribe(filter string, h func(context.Context, string, []byte) error) (func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	entry := &handler{filter, h}
	b.handlers = append(b.handlers, entry)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.handlers = slices.DeleteFunc(b.handlers, func(other *handler) bool { return other == entry })
	}, nil
}

// take returns the answers since the last call, by the end of their topic.
func (b *bus) take(requests int) map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := map[string]string{}
	for _, m := range b.messages[requests:] {
		for _, end := range []string{"accepted", "rejected", "delta", "documents"} {
			if strings.HasSuffix(m.topic, "/"+end) {
				all[end] = m.payload
			}
		}
	}
	b.messages = nil
	return all
}

type vector struct {
	Steps []struct {
		Op, Thing, Shadow string
		Request           json.RawMessage
		Raw               *string
		Now               int64
	}
	Want []map[string]json.RawMessage
}

// The vectors over the topics: which message each step causes and which not,
// with code, version, state and token. Package shadow compares all members.
func TestVectorsShadowTopics(t *testing.T) {
	vectors.Run(t, "shadow", nil, func(v vectors.Vector) error {
		var vec vector
		if err := json.Unmarshal(v.Raw, &vec); err != nil {
			return err
		}
		now := time.Unix(0, 0)
		svc, err := shadow.New(shadow.NewMemStore(), &shadow.Options{Now: func() time.Time { return now }})
		if err != nil {
			return err
		}
		b := &bus{}
		e, err := shadowmqtt.New(svc, b, nil)
		if err != nil {
			return err
		}
		defer e.Close()
		for i, s := range vec.Steps {
			now = time.Unix(s.Now, 0)
			name := "$aws/things/" + s.Thing + "/shadow/"
			if s.Shadow != "" {
				name += "name/" + s.Shadow + "/"
			}
			payload := []byte(s.Request)
			if s.Raw != nil {
				payload = []byte(*s.Raw)
			}
			if topic.CheckName(name+s.Op) != nil || strings.Count(name, "/") > 7 {
				return nil // a name that is no topic can only come over HTTP
			}
			if err := b.Publish(context.Background(), name+s.Op, payload); err != nil {
				return err
			}
			got := b.take(1)
			for _, end := range []string{"accepted", "rejected", "delta", "documents"} {
				want, checked := vec.Want[i][end]
				if !checked {
					continue
				}
				if (string(want) == "null") == (got[end] != "") {
					return fmt.Errorf("step %d: %s is %q, want %s", i, end, got[end], want)
				}
				if string(want) == "null" {
					continue
				}
				var g, w struct {
					Code, Version int64
					ClientToken   string
				}
				if err := errors.Join(json.Unmarshal([]byte(got[end]), &g), json.Unmarshal(want, &w)); err != nil {
					return err
				}
				if w.Code != 0 && g.Code != w.Code || w.Version != 0 && g.Version != w.Version || w.ClientToken != "" && g.ClientToken != w.ClientToken {
					return fmt.Errorf("step %d: %s is %s, want %s", i, end, got[end], want)
				}
			}
		}
		return nil
	})
}

func TestChangesOfOthersArePublished(t *testing.T) {
	svc, err := shadow.New(shadow.NewMemStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &bus{}
	e, err := shadowmqtt.New(svc, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := svc.Update(t.Context(), shadow.Ref{Thing: "t", Name: "n"}, []byte(`{"state":{"desired":{"on":true}}}`)); err != nil {
		t.Fatal(err)
	}
	var topics []string
	for _, m := range b.messages {
		topics = append(topics, m.topic)
	}
	base := "$aws/things/t/shadow/name/n/update/"
	if want := []string{base + "accepted", base + "delta", base + "documents"}; !slices.Equal(topics, want) {
		t.Errorf("published %q, want %q", topics, want)
	}
	e.Close()
	e.Close()
	b.messages = nil
	if _, err := svc.Update(t.Context(), shadow.Ref{Thing: "t"}, []byte(`{"state":{"desired":{"on":true}}}`)); err != nil || len(b.messages) > 0 || len(b.handlers) > 0 {
		t.Errorf("after Close: %v, %v, %d handlers", err, b.messages, len(b.handlers))
	}
}

func TestFailingBus(t *testing.T) {
	svc, err := shadow.New(shadow.NewMemStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &bus{fail: errors.New("down")}
	e, err := shadowmqtt.New(svc, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := svc.Update(t.Context(), shadow.Ref{Thing: "t"}, []byte(`{"state":{}}`)); err != nil {
		t.Errorf("the update is saved, but failed: %v", err)
	}
	if s := e.Stats(); s.Failed != 2 || s.Published != 0 {
		t.Errorf("stats are %+v", s)
	}
}

func Example() {
	svc, err := shadow.New(shadow.NewMemStore(), &shadow.Options{Now: func() time.Time { return time.Unix(1700000000, 0) }})
	if err != nil {
		panic(err)
	}
	b := &bus{} // a *broker.Broker in a program
	e, err := shadowmqtt.New(svc, b, nil)
	if err != nil {
		panic(err)
	}
	defer e.Close()
	b.Publish(context.Background(), "$aws/things/lamp-7/shadow/update", []byte(`{"state":{"desired":{"on":true}}}`))
	for _, m := range b.messages {
		if strings.HasSuffix(m.topic, "delta") {
			fmt.Println(m.topic, m.payload)
		}
	}
	// Output: $aws/things/lamp-7/shadow/update/delta {"version":1,"timestamp":1700000000,"state":{"on":true},"metadata":{"on":{"timestamp":1700000000}}}
}

// A hearingBus knows what is heard.
type hearingBus struct {
	bus
	heard map[string]bool
}

func (b *hearingBus) Heard(topic string) bool { return b.heard[topic] }

// TestUnheardIsNotPublished has subscribers come and go between changes.
func TestUnheardIsNotPublished(t *testing.T) {
	b := &hearingBus{}
	svc, err := shadow.New(shadow.NewMemStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := shadowmqtt.New(svc, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ctx := context.Background()
	const base = "$aws/things/lamp/shadow/"
	published := uint64(0)
	for _, c := range []struct{ heard, answers string }{
		{"", ""},
		{"update/accepted", "accepted"},
		{"update/delta", "delta"},
		{"update/documents", "documents"},
		{"update/delta update/documents update/accepted", "accepted delta documents"},
		{"delete/accepted", ""},
	} {
		b.heard = map[string]bool{}
		for _, end := range strings.Fields(c.heard) {
			b.heard[base+end] = true
		}
		if _, err := svc.Update(ctx, shadow.Ref{Thing: "lamp"}, []byte(`{"state":{"desired":{"on":true}}}`)); err != nil {
			t.Fatal(err)
		}
		all := b.take(0)
		if got := strings.Join(slices.Sorted(maps.Keys(all)), " "); got != c.answers {
			t.Errorf("with %q heard came %q, want %q", c.heard, got, c.answers)
		}
		published += uint64(len(all))
	}
	if _, err := svc.Delete(ctx, shadow.Ref{Thing: "lamp"}); err != nil {
		t.Fatal(err)
	}
	if all := b.take(0); len(all) != 1 || all["accepted"] == "" {
		t.Errorf("the delete was answered by %v", all)
	}
	if got := e.Stats().Published; got != published+1 {
		t.Errorf("%d are counted as published, want %d", got, published+1)
	}
	// A request is answered where it is refused, whoever hears.
	if err := b.Publish(ctx, base+"update", []byte(`{`)); err != nil {
		t.Fatal(err)
	}
	if all := b.take(0); all["rejected"] == "" {
		t.Error("a refused request is not answered")
	}
}

package shadowdevice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/thingloom/thingloom/shadow"
)

type state struct {
	Level int `json:"level"`
}

// A script is a connection whose service is the test: answer says what comes
// back for a request, on which topic; "" is silence.
type script struct {
	device *Device[state]
	answer func(operation, payload string) (topic, answer string)

	mu       sync.Mutex
	requests []string
}

func (s *script) Subscribe(_ context.Context, sub *paho.Subscribe) (*paho.Suback, error) {
	return &paho.Suback{Reasons: make([]byte, len(sub.Subscriptions))}, nil
}

func (s *script) Publish(_ context.Context, p *paho.Publish) (*paho.PublishResponse, error) {
	operation := strings.TrimPrefix(p.Topic, "$aws/things/t/shadow/")
	s.mu.Lock()
	s.requests = append(s.requests, operation)
	s.mu.Unlock()
	var m struct{ ClientToken string }
	if err := json.Unmarshal(p.Payload, &m); err != nil {
		return nil, err
	}
	if topic, answer := s.answer(operation, string(p.Payload)); topic != "" {
		s.tell(topic, strings.ReplaceAll(answer, "TOKEN", m.ClientToken))
	}
	return &paho.PublishResponse{}, nil
}

func (s *script) tell(topic, payload string) {
	s.device.Receive(paho.PublishReceived{Packet: &paho.Publish{Topic: "$aws/things/t/shadow/" + topic, Payload: []byte(payload)}})
}

// play runs a device against answer, lets act tell it things, and returns its
// counters and what Apply was asked for.
func play(t *testing.T, answer func(operation, payload string) (string, string), act func(*script)) (Stats, []int) {
	t.Helper()
	var mu sync.Mutex
	var asked []int
	d, err := New(shadow.Ref{Thing: "t"}, func(_ context.Context, want state, _ json.RawMessage) (state, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, want.Level)
		return want, nil
	}, &Options{Refresh: -1})
	if err != nil {
		t.Fatal(err)
	}
	s := &script{device: d, answer: answer}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := d.Run(ctx, s); err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	if err := d.Run(ctx, s); !errors.Is(err, ErrRunning) {
		t.Errorf("a second Run: %v", err)
	}
	act(s)
	synctest.Wait()
	cancel()
	running.Wait()
	return d.Stats(), asked
}

// good is a service whose document is at version 5 and in step.
func good(operation, _ string) (string, string) {
	if operation == "get" {
		return "get/accepted", `{"state":{"reported":{"level":1}},"version":5,"clientToken":"TOKEN"}`
	}
	return "update/accepted", `{"version":1000,"clientToken":"TOKEN"}`
}

func TestStaleDeltas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stats, asked := play(t, good, func(s *script) {
			s.tell("update/delta", `{"version":7,"state":{"level":7}}`)
			synctest.Wait()
			s.tell("update/delta", `{"version":6,"state":{"level":6}}`)
			s.tell("update/delta", `{"version":7,"state":{"level":6}}`)
			s.tell("name/n/update/delta", `{"version":9,"state":{"level":9}}`)
		})
		if fmt.Sprint(asked) != "[7]" || stats.Stale != 2 || stats.Deltas != 1 {
			t.Errorf("applied %v, %+v", asked, stats)
		}
	})
}

func TestHostileMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := []string{``, `{`, `[]`, `null`, `{"version":8}`, `{"version":8,"state":null}`, `{"version":8,"state":[1]}`, `{"version":-1,"state":{"level":3}}`,
			`{"version":1.5,"state":{"level":3}}`, `{"version":"8","state":{"level":3}}`, "\xff\x00", strings.Repeat("[", 100_000)}
		stats, asked := play(t, good, func(s *script) {
			for _, payload := range bad {
				s.tell("update/delta", payload)
				s.tell("get/accepted", payload)
				s.tell("update/rejected", payload)
			}
			s.tell("update/delta", `{"version":8,"state":{"level":"high"}}`) // does not fit
			synctest.Wait()
			s.tell("update/delta", `{"version":9,"state":{"level":2}}`)
		})
		if fmt.Sprint(asked) != "[2]" || stats.Unreadable != uint64(len(bad)+1) || stats.Foreign != uint64(2*len(bad)) {
			t.Errorf("applied %v, %+v, want %d unreadable", asked, stats, len(bad)+1)
		}
	})
}

// The first report stays without an answer and the second is refused for now:
// the document is asked for again and the report sent until it is taken.
func TestReportIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		updates := 0
		var begin time.Time
		stats, asked := play(t, func(operation, payload string) (string, string) {
			if operation == "get" {
				return good(operation, payload)
			}
			switch updates++; updates {
			case 1:
				return "", ""
			case 2:
				return "update/rejected", `{"code":429,"message":"Too many requests","clientToken":"TOKEN"}`
			case 3:
				return "update/rejected", `{"code":500,"message":"Internal service failure","clientToken":"TOKEN"}`
			}
			return good(operation, payload)
		}, func(s *script) {
			begin = time.Now()
			s.tell("update/delta", `{"version":7,"state":{"level":7}}`)
			time.Sleep(time.Minute)
		})
		if updates != 4 || stats.Reports != 1 || stats.Retries != 3 || len(asked) != 1 {
			t.Errorf("%d updates in %v, applied %v, %+v", updates, time.Since(begin), asked, stats)
		}
	})
}

// An accepted version below one seen before proves that the shadow was deleted,
// forgotten and made anew: its deltas are not stale.
func TestVersionsBeginAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gets := 0
		stats, asked := play(t, func(operation, payload string) (string, string) {
			switch {
			case operation == "update":
				return "update/accepted", `{"version":3,"clientToken":"TOKEN"}`
			case gets > 0:
				return "get/accepted", `{"state":{"reported":{"level":2},"delta":{"level":4}},"version":2,"clientToken":"TOKEN"}`
			}
			gets++
			return good(operation, payload)
		}, func(s *script) {
			s.tell("update/delta", `{"version":2,"state":{"level":3}}`) // stale by all that is known
			synctest.Wait()
			s.device.Set(state{Level: 2})
		})
		if len(asked) == 0 || asked[len(asked)-1] != 4 || stats.Syncs < 2 {
			t.Errorf("applied %v, %+v", asked, stats)
		}
	})
}

// Who waits for the document while it is not known must not be left with a channel that nobody closes, whatever comes.
func TestWaitersOutliveWhatComes(t *testing.T) {
	d, err := New(shadow.Ref{Thing: "t"}, func(_ context.Context, want state, _ json.RawMessage) (state, error) { return want, nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{device: d}
	waiting := d.up
	s.tell("delete/accepted", `{"version":3}`)
	s.tell("update/delta", `{"version":1,"state":{"level":1}}`)
	d.Connected()
	d.restart()
	if d.up != waiting {
		t.Error("those who waited are forgotten")
	}
}

// A service that fails is asked again after pauses that grow, not at once.
func TestFailingServiceIsLeftInPeace(t *testing.T) {
	for name, answer := range map[string][2]string{
		"a fault":          {"update/rejected", `{"code":500,"message":"Internal service failure","clientToken":"TOKEN"}`},
		"too many":         {"update/rejected", `{"code":429,"message":"Too many requests","clientToken":"TOKEN"}`},
		"an odd answer":    {"update/accepted", `{"version":"x","clientToken":"TOKEN"}`},
		"an unknown code":  {"update/rejected", `{"code":799,"clientToken":"TOKEN"}`},
		"a late conflict":  {"update/rejected", `{"code":409,"message":"Version conflict","clientToken":"TOKEN"}`},
		"no answer at all": {"", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			var updates atomic.Int32
			var healthy atomic.Bool
			stats, _ := play(t, func(operation, payload string) (string, string) {
				if operation == "update" && !healthy.Load() {
					updates.Add(1)
					return answer[0], answer[1]
				}
				return good(operation, payload)
			}, func(s *script) {
				s.device.Set(state{Level: 9})
				time.Sleep(time.Minute) // of the bubble
				synctest.Wait()
				s.mu.Lock()
				asked := len(s.requests)
				s.mu.Unlock()
				if updates.Load() < 3 || asked > 30 {
					t.Errorf("%s: %d updates and %d requests in a minute", name, updates.Load(), asked)
				}
				healthy.Store(true)
				time.Sleep(time.Minute)
			})
			if stats.Reports != 1 || stats.Refused != 0 {
				t.Errorf("%s: %+v", name, stats)
			}
		})
	}
}

// A connection that goes while the subscriptions are made has them made again
// on the next, at once: no request is sent whose answer could not come.
func TestReconnectWhileSubscribing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d *Device[state]
		d, err := New(shadow.Ref{Thing: "t"}, func(_ context.Context, want state, _ json.RawMessage) (state, error) { return want, nil }, &Options{Refresh: -1})
		if err != nil {
			t.Fatal(err)
		}
		c := &flaky{script: script{device: d, answer: good}}
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		var running sync.WaitGroup
		running.Go(func() {
			if err := d.Run(ctx, c); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if s := d.Stats(); s.Syncs != 1 || c.subscribed != 3 || !slices.Equal(c.requests, []string{"get"}) || time.Since(began) != 0 {
			t.Errorf("%+v after %d subscriptions and %q, in %v", s, c.subscribed, c.requests, time.Since(began))
		}
		cancel()
		running.Wait()
	})
}

// A flaky connection is another one twice before its subscriptions count.
type flaky struct {
	script
	subscribed int
}

func (f *flaky) Subscribe(ctx context.Context, s *paho.Subscribe) (*paho.Suback, error) {
	if f.subscribed++; f.subscribed < 3 {
		f.device.Connected()
	}
	return f.script.Subscribe(ctx, s)
}

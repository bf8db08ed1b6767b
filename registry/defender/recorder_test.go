package defender

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A Recorder counts what Record counts, over slots that pass, also when the thing was forgotten meanwhile, and what one
// service does not have room for.
func TestRecorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		plain, recorded := newFixture(t, &Options{MaxThings: 640}), newFixture(t, &Options{MaxThings: 640})
		recorded.svc.watch.seed = plain.svc.watch.seed // the same things find room
		in := Dimension{Name: "in", Operator: "IN"}
		used := []usedDimension{{in, []string{"a/+"}}, {Dimension{Name: "out", Operator: "NOT_IN"}, []string{"a/+"}}}
		plain.svc.used.Store(&used)
		recorded.svc.used.Store(&used)
		recorders := map[string]*Recorder{}
		addresses := []string{"10.0.0.7:1883", "[::ffff:10.0.0.8]:1", "2001:db8::1", "", "/run/socket"}
		for step := range 20_000 {
			n := rng.IntN(1500)
			thing, ip := fmt.Sprint("t", n), addresses[n%len(addresses)]
			if recorders[thing] == nil {
				recorders[thing] = recorded.svc.Recorder(thing, ip)
			}
			topic, bytes := []string{"a/b", "b", "a/b/c"}[rng.IntN(3)], rng.IntN(200)
			if rng.IntN(2) == 0 {
				plain.svc.Record(Observation{Kind: Sent, Thing: thing, Topic: topic, Bytes: bytes, IP: ip})
				recorders[thing].Sent(topic, bytes)
			} else {
				plain.svc.Record(Observation{Kind: Received, Thing: thing, Topic: topic, IP: ip})
				recorders[thing].Received(topic)
			}
			if step%200 == 0 {
				time.Sleep(time.Duration(rng.IntN(7)) * time.Minute)
			}
			if step == 12_000 { // all are forgotten
				time.Sleep(25 * time.Hour)
				if a, b := plain.svc.watch.names(time.Now()), recorded.svc.watch.names(time.Now()); len(a) != 0 || len(b) != 0 {
					t.Fatalf("%d and %d things are remembered", len(a), len(b))
				}
			}
		}
		if a, b := plain.svc.Stats(), recorded.svc.Stats(); a != b || a.Observed != 20_000 || a.Dropped == 0 {
			t.Errorf("got %+v, want %+v", b, a)
		}
		found := 0
		for thing := range recorders {
			for metric := range metrics {
				for _, d := range []*Dimension{nil, {Name: "in", Operator: "IN"}, {Name: "out", Operator: "NOT_IN"}} {
					b := &Behavior{Metric: metric, Dimension: d, Criteria: &Criteria{Seconds: 3600}}
					last := slotOf(time.Now())
					want, ok := plain.svc.valueOf(thing, b, last, time.Now())
					got, ok2 := recorded.svc.valueOf(thing, b, last, time.Now())
					if ok != ok2 || !reflect.DeepEqual(got, want) {
						t.Fatalf("%s %s %v: got %+v %v, want %+v %v", thing, metric, d, got, ok2, want, ok)
					}
					if want.Count != nil && *want.Count > 0 || len(want.CIDRs) > 0 {
						found++
					}
				}
			}
		}
		if found < 1000 {
			t.Errorf("%d values: the test has become blunt", found)
		}
	})
}

// Nothing is lost while things are forgotten and come again.
func TestRecorderConcurrently(t *testing.T) {
	f := newFixture(t, nil)
	s := f.svc
	const each = 2000
	var writers, forgetter sync.WaitGroup
	for range 4 {
		r := s.Recorder("t", "")
		writers.Go(func() {
			for i := range each {
				r.Sent("a", 1)
				s.Record(Observation{Kind: Received, Thing: "t"})
				if i%100 == 0 { // as from a day later
					s.watch.names(time.Now().Add(25 * time.Hour))
				}
			}
		})
	}
	done := make(chan struct{})
	forgetter.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				s.watch.names(time.Now())
			}
		}
	})
	writers.Wait()
	close(done)
	forgetter.Wait()
	s.watch.names(time.Now().Add(25 * time.Hour))
	r := s.Recorder("t", "")
	for range 10 {
		r.Sent("a", 1)
	}
	s.watch.look("t", func(w *watched) {
		if n := w.sum(series{metric: "aws:num-messages-sent"}, slotOf(time.Now()), slots); n != 10 {
			t.Errorf("%d of 10 messages are counted", n)
		}
	})
	if n := s.Stats().Observed; n != 4*2*each+10 {
		t.Errorf("%d observed", n)
	}
}

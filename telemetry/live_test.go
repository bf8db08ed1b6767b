package telemetry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/telemetry"
)

func showEvents(events []telemetry.Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%d:%s=%s ", e.ID, e.Key, e.Value)
	}
	return strings.TrimSpace(b.String())
}

func feed(t *testing.T, l *telemetry.Live, id string, pairs ...string) {
	t.Helper()
	b := telemetry.Batch{ID: id}
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		b.Records = append(b.Records, telemetry.Record{Key: k, Value: []byte(v)})
	}
	if err := l.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func TestLiveReplay(t *testing.T) {
	l := telemetry.NewLive(&telemetry.LiveOptions{MaxKeys: 2, History: 3})
	feed(t, l, "b1", "a=1", "b=2")
	feed(t, l, "b1", "a=1", "b=2") // again after a retry: no news
	feed(t, l, "b2", "a=3")
	for after, want := range map[uint64]string{
		0:  "2:b=2 3:a=3", // the last of each key
		1:  "2:b=2 3:a=3",
		2:  "3:a=3",
		3:  "",
		99: "2:b=2 3:a=3", // of another life
	} {
		s, err := l.Subscribe(after)
		if err != nil {
			t.Fatal(err)
		}
		if got := showEvents(s.Replay); got != want {
			t.Errorf("after %d: %s, want %s", after, got, want)
		}
		s.Close()
		s.Close()
		if _, ok := <-s.Events(); ok || s.Err() != nil {
			t.Errorf("after Close: %v", s.Err())
		}
	}
	feed(t, l, "b3", "c=4", "d=5")
	if got := showEvents(l.Current()); got != "4:c=4 5:d=5" {
		t.Errorf("current is %s", got)
	}
	s, err := l.Subscribe(2) // its history is complete: 3, 4, 5
	if err != nil || showEvents(s.Replay) != "3:a=3 4:c=4 5:d=5" {
		t.Errorf("replay is %s, %v", showEvents(s.Replay), err)
	}
	s2, err := l.Subscribe(1) // 2 is forgotten
	if err != nil || showEvents(s2.Replay) != "4:c=4 5:d=5" {
		t.Errorf("replay is %s, %v", showEvents(s2.Replay), err)
	}
	if st := l.Stats(); st.Forgotten != 2 || st.Keys != 2 || st.Events != 5 || st.Subscribers != 2 {
		t.Errorf("stats are %+v", st)
	}
}

func TestLiveDropsTheSlow(t *testing.T) {
	l := telemetry.NewLive(&telemetry.LiveOptions{Buffer: 2, MaxSubscribers: 2})
	slow, err := l.Subscribe(0)
	if err != nil {
		t.Fatal(err)
	}
	quick, err := l.Subscribe(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Subscribe(0); !errors.Is(err, telemetry.ErrTooManySubscribers) {
		t.Errorf("third subscriber: %v", err)
	}
	for i := range 3 {
		feed(t, l, fmt.Sprint(i), fmt.Sprint("k=", i))
		if e := <-quick.Events(); string(e.Value) != fmt.Sprint(i) {
			t.Errorf("event is %s", e.Value)
		}
	}
	n := 0
	for range slow.Events() {
		n++
	}
	if n != 2 || !errors.Is(slow.Err(), telemetry.ErrSlow) {
		t.Errorf("%d events, then %v", n, slow.Err())
	}
	if st := l.Stats(); st.Dropped != 1 || st.Refused != 1 || st.Subscribers != 1 {
		t.Errorf("stats are %+v", st)
	}
}

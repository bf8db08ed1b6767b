package broker_test

import (
	"context"
	"testing"

	"github.com/thingloom/thingloom/broker"
)

func TestHeard(t *testing.T) {
	b, err := broker.New(broker.NewMemStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	heard := func(topic string, want bool) {
		t.Helper()
		if got := b.Heard(topic); got != want {
			t.Errorf("Heard(%q) is %v, want %v", topic, got, want)
		}
	}
	heard("a/b", false)
	nothing := func(context.Context, string, []byte) error { return nil }
	cancel, err := b.Subscribe("a/+", nothing)
	if err != nil {
		t.Fatal(err)
	}
	all, err := b.Subscribe("#", nothing)
	if err != nil {
		t.Fatal(err)
	}
	heard("a/b", true)
	heard("c", true)
	heard("$aws/a", false) // wildcards do not begin with it
	all()
	heard("a/b", true)
	heard("c", false)
	cancel()
	cancel()
	heard("a/b", false)

	w, err := b.Watch(broker.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	heard("a/b", true)
	w.Stop()
	heard("a/b", false)

	traced, err := broker.New(broker.NewMemStore(), &broker.Options{Trace: &broker.Trace{Published: func(broker.Message) {}}})
	if err != nil {
		t.Fatal(err)
	}
	if !traced.Heard("a/b") {
		t.Error("Trace.Published does not count")
	}
}

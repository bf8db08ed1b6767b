package main

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/jobs"
	"github.com/thingloom/thingloom/registry/jobs/jobsmqtt"
)

// The client that asks about jobs is answered without a subscription; another
// one that has subscribed to everything, and rules, see the question and not
// the answer.
func TestAnswersAboutJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, err := registry.New(registry.NewMemStore(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reg.CreateThing(t.Context(), registry.Thing{Name: "t1"}); err != nil {
			t.Fatal(err)
		}
		svc, err := jobs.New(registry.NewMemStore(), reg, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{}})
		if err != nil {
			t.Fatal(err)
		}
		bus := answering{b}
		e, err := jobsmqtt.New(svc, bus, &jobsmqtt.Options{Answer: bus.answer})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		var rules []string
		cancel, err := b.SubscribeMessages("$aws/things/+/jobs/#", func(_ context.Context, m broker.Message) error {
			rules = append(rules, m.Topic)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer cancel()
		asks, listens := dialPipe(t, b, "asks", "x"), dialPipe(t, b, "listens", "x")
		listens.subscribe("$aws/things/+/jobs/#")
		asks.publish("$aws/things/t1/jobs/get")
		asks.publish("$aws/things/nobody/jobs/get") // rejected
		if asks.got != 2 || listens.got != 2 {
			t.Errorf("who asks got %d messages, another one %d", asks.got, listens.got)
		}
		if want := []string{"$aws/things/t1/jobs/get", "$aws/things/nobody/jobs/get"}; !slices.Equal(rules, want) {
			t.Errorf("rules saw %q", rules)
		}
		// Who asks without a connection is answered for all.
		if err := b.Publish(t.Context(), "$aws/things/t1/jobs/get", nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if asks.got != 2 || listens.got != 4 || e.Stats().Failed != 0 {
			t.Errorf("who asked before got %d messages, another one %d; %+v", asks.got, listens.got, e.Stats())
		}
	})
}

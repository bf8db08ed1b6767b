package defender_test

import (
	"context"
	"fmt"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/defender"
)

func Example() {
	ctx := context.Background()
	reg, err := registry.New(registry.NewMemStore(), nil)
	if err != nil {
		panic(err)
	}
	svc, err := defender.Open(ctx, registry.NewMemStore(), reg, nil)
	if err != nil {
		panic(err)
	}
	// The order of a program: defendermqtt.New publishes what is printed here.
	svc.Observe(func(_ context.Context, e defender.Event) { fmt.Println(e.Topic) })
	_, err = svc.CreateProfile(ctx, defender.Profile{Name: "closed", Behaviors: []defender.Behavior{{
		Name: "ports", Metric: "aws:listening-tcp-ports",
		Criteria: &defender.Criteria{Operator: "in-port-set", Value: &defender.Value{Ports: []int{22}}}}}})
	if err != nil {
		panic(err)
	}
	if err := svc.Attach(ctx, "closed", reg.ARN("all/things")); err != nil {
		panic(err)
	}
	_, err = svc.Report(ctx, "lamp-7", []byte(`{"header":{"report_id":1,"version":"1.0"},
		"metrics":{"listening_tcp_ports":{"ports":[{"port":22},{"port":4444}],"total":2}}}`), false)
	fmt.Println(err)
	// Output:
	// $aws/events/deviceDefender/lamp-7/closed/ports/in-alarm
	// <nil>
}

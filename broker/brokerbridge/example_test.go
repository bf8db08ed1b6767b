package brokerbridge_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerbridge"
)

// A site's broker sends its telemetry to the cloud's.
func Example() {
	site, err := broker.New(broker.NewMemStore(), nil) // nobody else connects here
	if err != nil {
		fmt.Println(err)
		return
	}
	cloud, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	arrived := make(chan string)
	if _, err := cloud.Subscribe("sites/#", func(_ context.Context, topic string, payload []byte) error {
		arrived <- topic + " " + string(payload)
		return nil
	}); err != nil {
		fmt.Println(err)
		return
	}
	bridge, err := brokerbridge.New(site, []string{"mqtt://cloud.example.com"}, &brokerbridge.Options{
		Name: "site-7",
		Out:  []brokerbridge.Route{{Filter: "telemetry/#", Remote: "sites/7/"}},
		Dial: func(context.Context, *url.URL) (net.Conn, error) { // this cloud is near
			ours, theirs := net.Pipe()
			go func() { _ = cloud.ServeConn(ctx, theirs) }()
			return ours, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error)
	go func() { done <- bridge.Run(ctx) }()
	for bridge.Stats().LocalConnected == 0 { // what is published before the bridge's first run is not queued
		time.Sleep(time.Millisecond)
	}
	if err := site.Publish(ctx, "telemetry/oven", []byte("210")); err != nil {
		fmt.Println(err)
	}
	fmt.Println(<-arrived)
	cancel()
	fmt.Println(<-done)
	// Output:
	// sites/7/telemetry/oven 210
	// <nil>
}

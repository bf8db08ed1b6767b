package brokerpaho_test

import (
	"context"
	"fmt"
	stdlog "log"
	"net"
	"net/url"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerpaho"
)

// The foreign broker of this example is one of ours, at the other end of a pipe.
func Example() {
	foreign, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{}})
	if err != nil {
		stdlog.Fatal(err)
	}
	c, err := brokerpaho.New([]string{"mqtt://broker.example.com:1883"}, &brokerpaho.Options{
		Dial: func(ctx context.Context, _ *url.URL) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go foreign.ServeConn(context.WithoutCancel(ctx), theirs)
			return ours, nil
		},
	})
	if err != nil {
		stdlog.Fatal(err)
	}
	seen := make(chan string)
	cancel, err := c.Subscribe("sensors/+/climate", func(_ context.Context, topic string, payload []byte) error {
		seen <- fmt.Sprintf("%s %s", topic, payload)
		return nil // only now it is acknowledged
	})
	if err != nil {
		stdlog.Fatal(err)
	}
	defer cancel()

	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error)
	go func() { ran <- c.Run(ctx) }()
	if err := c.Publish(ctx, "sensors/s1/climate", []byte(`{"t":21.5}`)); err != nil {
		stdlog.Fatal(err)
	}
	fmt.Println(<-seen)
	stop()
	fmt.Println(<-ran)
	// Output:
	// sensors/s1/climate {"t":21.5}
	// <nil>
}

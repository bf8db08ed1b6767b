package broker_test

import (
	"context"
	"fmt"
	"net"

	"github.com/eclipse/paho.golang/packets"

	"github.com/thingloom/thingloom/broker"
)

// A broker in a program: it hears what clients publish, and publishes itself.
func Example() {
	b, err := broker.New(broker.NewMemStore(), &broker.Options{
		Authenticator: broker.AllowAll{}, // for an example; see Authenticator
		Authorizer:    broker.AllowAll{},
	})
	if err != nil {
		panic(err)
	}
	cancel, err := b.Subscribe("sensors/+/climate", func(_ context.Context, topic string, payload []byte) error {
		fmt.Printf("%s: %s\n", topic, payload)
		return nil // the publisher gets its acknowledgement now
	})
	if err != nil {
		panic(err)
	}
	defer cancel()

	// Serve takes a net.Listener; a single connection may be anything.
	device, server := net.Pipe()
	served := make(chan error)
	go func() { served <- b.ServeConn(context.Background(), server) }()

	send := func(p packets.Packet) {
		if _, err := p.WriteTo(device); err != nil {
			panic(err)
		}
	}
	receive := func() {
		p, err := packets.ReadPacket(device)
		if err != nil {
			panic(err)
		}
		fmt.Println("device gets", p.PacketType())
	}
	send(&packets.Connect{ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: "s1", CleanStart: true})
	receive()
	send(&packets.Publish{Topic: "sensors/s1/climate", QoS: 1, PacketID: 1, Payload: []byte(`{"t":31.5}`), Properties: &packets.Properties{}})
	receive()
	send(&packets.Disconnect{Properties: &packets.Properties{}})
	fmt.Println("served:", <-served)
	// Output:
	// device gets CONNACK
	// sensors/s1/climate: {"t":31.5}
	// device gets PUBACK
	// served: <nil>
}

// A message that leads to another carries its depth in the context, so a loop ends.
func ExampleDepth() {
	b, err := broker.New(broker.NewMemStore(), nil)
	if err != nil {
		panic(err)
	}
	calls := 0
	_, err = b.Subscribe("loop", func(ctx context.Context, topic string, payload []byte) error {
		calls++
		return b.Publish(ctx, topic, payload)
	})
	if err != nil {
		panic(err)
	}
	err = b.Publish(context.Background(), "loop", nil)
	fmt.Println(calls, err != nil)
	// Output: 11 true
}

package shadowdevice_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowdevice"
	"github.com/thingloom/thingloom/shadow/shadowmqtt"
)

// A lamp over paho.golang, and the backend that switches it on.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	// The backend.
	svc, err := shadow.New(shadow.NewMemStore(), nil)
	check(err)
	b, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{}})
	check(err)
	topics, err := shadowmqtt.New(svc, b, nil)
	check(err)
	defer topics.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go b.Serve(ctx, l)

	// The device.
	type Lamp struct {
		On bool `json:"on"`
	}
	lamp, err := shadowdevice.New(shadow.Ref{Thing: "lamp-7"}, func(_ context.Context, want Lamp, delta json.RawMessage) (Lamp, error) {
		fmt.Println("the lamp does", string(delta))
		return want, nil
	}, nil)
	check(err)
	config := autopaho.ClientConfig{
		ServerUrls: []*url.URL{{Scheme: "mqtt", Host: l.Addr().String()}}, KeepAlive: 30,
		ClientConfig: paho.ClientConfig{ClientID: "lamp-7"},
	}
	lamp.Attach(&config)
	connection, err := autopaho.NewConnection(ctx, config)
	check(err)
	go lamp.Run(ctx, connection)

	// The application.
	ref := shadow.Ref{Thing: "lamp-7"}
	_, err = svc.Update(ctx, ref, []byte(`{"state":{"desired":{"on":true}}}`))
	check(err)
	for doc, err := range svc.Watch(ctx, ref, shadow.InSync) {
		check(err)
		fmt.Println("reported", string(doc.Reported))
		break
	}
	// Output:
	// the lamp does {"on":true}
	// reported {"on":true}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

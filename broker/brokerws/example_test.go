package brokerws_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/coder/websocket"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerws"
)

// tokens admits clients whose WebSocket request has the token.
type tokens struct{ broker.AllowAll }

func (tokens) Authenticate(_ context.Context, c broker.Credentials) (string, error) {
	ws, ok := c.Conn.(*brokerws.Conn)
	if !ok || ws.Request().Header.Get("Authorization") != "Bearer secret" {
		return "", broker.ErrBadCredentials
	}
	return "dashboard", nil
}

func Example() {
	b, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: tokens{}, Authorizer: broker.AllowAll{}})
	if err != nil {
		log.Fatal(err)
	}
	ws, err := brokerws.New(b, nil)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /mqtt", ws)
	srv := httptest.NewServer(mux)
	defer srv.Close()
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error)
	go func() { ran <- ws.Run(ctx) }()

	for _, token := range []string{"secret", "guess"} {
		c, _, err := websocket.Dial(ctx, srv.URL+"/mqtt", &websocket.DialOptions{
			Subprotocols: []string{"mqtt"}, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
		})
		if err != nil {
			log.Fatal(err)
		}
		// CONNECT of MQTT 3.1.1, client ID "c", in two frames.
		c.Write(ctx, websocket.MessageBinary, []byte("\x10\x0d\x00\x04MQ"))
		c.Write(ctx, websocket.MessageBinary, []byte("TT\x04\x02\x00\x3c\x00\x01c"))
		_, connack, err := c.Read(ctx)
		fmt.Printf("%s: %x %v\n", token, connack, err)
		c.CloseNow()
	}
	stop()
	fmt.Println(<-ran)
	// Output:
	// secret: 20020000 <nil>
	// guess: 20020004 <nil>
	// <nil>
}

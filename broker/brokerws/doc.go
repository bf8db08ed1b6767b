// Package brokerws carries MQTT over WebSocket: an [http.Handler] that hands
// each connection to a broker.
//
//	ws, err := brokerws.New(b, nil)
//	...
//	mux.Handle("GET /mqtt", ws)
//	workers.Go(func() error { return ws.Run(ctx) }) // ends the connections with ctx
//
// It speaks the subprotocols mqtt and mqttv3.1, the one that the client asks
// for, and refuses a client that asks for neither [MQTT-6.0.0-3]. Packets may
// span frames and share them [MQTT-6.0.0-2]; a text frame ends the connection
// [MQTT-6.0.0-1]. Frames are streamed and never held whole, so their length
// has no limit of its own: the broker bounds packets as on any connection.
//
// # Who the client is
//
// The connection that the broker gets is a [*Conn]. It gives the broker the
// TLS state of the HTTP connection, so that a client certificate works as it
// does on a TLS listener, and an Authenticator finds headers and query:
//
//	func (a auth) Authenticate(ctx context.Context, c broker.Credentials) (string, error) {
//		if ws, ok := c.Conn.(*brokerws.Conn); ok {
//			token := ws.Request().Header.Get("Authorization")
//			...
//
// # Origins
//
// A browser tells which page opened the connection. Pages of the same host are
// admitted, others only if Options.Origins names them; what is no browser
// sends no origin and is admitted.
package brokerws

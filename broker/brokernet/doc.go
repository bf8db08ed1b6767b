// Package brokernet has what stands between the network and a broker's Serve:
// one TLS port for MQTT and HTTP, certificates that are renewed while running,
// the PROXY protocol of load balancers, and who is at the other end of a Unix socket.
// It knows nothing of MQTT: all it takes and gives are the standard library's listeners and connections.
//
//	certs, err := brokernet.NewCertificates([]brokernet.CertificateFiles{{Cert: "iot.pem", Key: "iot.key"}}, nil)
//	...
//	l, err := net.Listen("tcp", ":443")
//	...
//	mux, err := brokernet.NewMux(broker.ForTLS(l), &tls.Config{GetCertificate: certs.GetCertificate, ClientAuth: tls.RequestClientCert}, nil)
//	...
//	intake.Go(func() error { return b.Serve(ctx, mux.MQTT()) })    // x-amzn-mqtt-ca, mqtt
//	brokernet.Prepare(srv)                                       // Request.TLS for x-amzn-http-ca, too
//	intake.Go(func() error { return srv.Serve(mux.HTTP()) })     // x-amzn-http-ca, http/1.1, no ALPN at all
//	intake.Go(func() error { return mux.Run(ctx) })               // ends the Serve of both: net.ErrClosed, once ctx is done
//	workers.Go(func() error { return certs.Run(ctx) })
//
// # Behind a load balancer
//
// A [ProxyListener] below all of this makes RemoteAddr what the load balancer
// says it is. Only peers of the networks given are believed.
//
// # What a peer can cost
//
// A [Mux] shakes hands with a bounded number of peers at a time and for a bounded time;
// the header of the PROXY protocol is read as far as it has come, and 2 KiB of it at most.
package brokernet

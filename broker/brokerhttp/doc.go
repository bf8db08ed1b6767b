// Package brokerhttp lets programs publish and read retained messages over
// HTTP, as the data plane of AWS IoT has it:
//
//	POST /topics/{topic}?qos=&retain=&contentType=&responseTopic=&messageExpiry=
//	GET  /retainedMessage/{topic}
//	GET  /retainedMessage?maxResults=&nextToken=
//	GET  /connections/{clientId}?includeSocketInformation=
//	DELETE /connections/{clientId}?cleanSession=&preventWillMessage=
//	GET  /connections/{clientId}/subscriptions?maxResults=&nextToken=
//
//	h, err := brokerhttp.New(b, &brokerhttp.Options{Authorize: may})
//
// # Topics in paths
//
// A topic is one escaped segment (/topics/a%2Fb), or several (/topics/a/b) as
// devices send it, or a mixture; each byte after "/topics/" counts, empty
// levels too. http.ServeMux does not let those pass: it redirects /topics/a//b
// to a cleaned path, where the topic is another one. So the handler must stand
// before the mux:
//
//	if brokerhttp.Serves(r) {
//		h.ServeHTTP(w, r)
//	} else {
//		mux.ServeHTTP(w, r)
//	}
//
// # Who may
//
// Options.Authorize is asked for each request what the caller wants to do, and
// names the principal of what is published. It sees the whole request: the
// client certificate of mutual TLS in r.TLS, a token in a header. A publish
// with the retain flag is asked for twice, as iot:Publish and
// iot:RetainPublish. Without the function nobody may do anything.
//
// # Answers
//
// A publish answers 200 once the broker has accepted the message, which for
// QoS 1 means that it is durable for every persistent session that gets it:
//
//	{"message":"OK","traceId":"6f2f..."}
//
// Errors have the status and the name of AWS IoT, the name in the header
// X-Amzn-Errortype and the reason in the body: {"message":"...","traceId":"..."}.
// What went wrong inside is logged under the trace ID and not told.
package brokerhttp

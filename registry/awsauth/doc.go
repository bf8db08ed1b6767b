// Package awsauth finds out who sends an HTTP request, in the two ways that
// clients of AWS IoT have: a Signature Version 4, made by SDKs and the command
// line from an access key, and the client certificate of mutual TLS, which
// devices show.
//
//	auth, err := awsauth.New(keys, &awsauth.Options{Certificate: reg.PrincipalOf})
//	http.ListenAndServe(addr, auth.Handler(controlPlane))
//
// Behind Handler, FromContext tells a request's Identity. What the identity may
// do is decided there and not here.
//
// # Signatures
//
// Both forms are verified: the Authorization header, and the query of a
// presigned URL, with which browsers and devices open MQTT over WebSocket. For
// the latter the session token may be part of what is signed or, as device
// SDKs do it, be put in afterwards.
//
// The list of signed headers is that of the request; it must have the host and
// every X-Amz- header there is. The body is hashed here, whatever hash the
// client names, so it is read whole before the handler runs and is bounded by
// Options.MaxBodyBytes. Bodies that are signed in chunks are refused, unsigned
// ones too unless Options.UnsignedPayload allows them.
//
// A date further than Options.Skew from the clock is refused, and so is a scope
// of another day than the date, which is what stops a recorded request from
// being sent again later. Within that window the same request may come twice:
// clients that retry within a second sign the same text, so the two cannot be
// told apart. Requests that must not be repeated carry a version or a token.
//
// [Sign] is the other side: it signs requests of this program's own.
//
// # Refusals
//
// Errors are answered in the words of AWS, the name in the header
// x-amzn-ErrorType and {"message":"..."} in the body: see the sentinels. No
// text tells a part of a secret or of the signature that was expected. Listener
// does the same for what an http.Server refuses before any handler is asked.
package awsauth

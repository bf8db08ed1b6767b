// Package registryhttp is the control plane of a registry over HTTP, on the
// paths, with the bodies and with the errors of AWS IoT, so that the AWS
// command line and SDKs work against it by changing the endpoint.
//
//	h, err := registryhttp.Handler(reg, &registryhttp.Options{Authorize: signedByAnAdmin})
//	http.ListenAndServe("127.0.0.1:8090", h)
//
//	aws iot create-thing --thing-name lamp-7 --endpoint-url http://127.0.0.1:8090
//
// It answers things, thing types, static thing groups, billing
// groups, principals, certificates, CA certificates, policies, custom authorizers, role aliases, tags
// and event configurations. Every other path answers NotImplementedException with status 501.
//
// Authentication is not done here: wrap the handler, or look at the request
// in Options.Authorize.
package registryhttp

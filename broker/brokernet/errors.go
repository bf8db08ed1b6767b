package brokernet

import "errors"

var (
	// ErrProxyHeader says that a trusted peer sent no header of the PROXY protocol,
	// or a wrong one. The connection is of no use.
	ErrProxyHeader = errors.New("brokernet: PROXY header")

	// ErrNoCertificate says that no certificate is for the name that the client asked for.
	ErrNoCertificate = errors.New("brokernet: no certificate for this name")
)

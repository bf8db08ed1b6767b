package broker

import (
	"context"
	"crypto/tls"
	"net"
)

// Credentials are what a client shows with its CONNECT.
type Credentials struct {
	ClientID string
	Username string // may be empty
	Password []byte // nil when absent; do not keep
	Version  byte   // 4 is MQTT 3.1.1, 5 is MQTT 5.0

	// TLS is the state of the TLS connection, nil without TLS. Its
	// PeerCertificates are the client's, the leaf first; the listener's
	// tls.Config decides whether they are verified.
	TLS *tls.ConnectionState

	// Query and Header are those of the HTTP request that opened a WebSocket: the query as
	// it was sent, the header under canonical names. Empty for other connections.
	Query  string
	Header map[string][]string

	RemoteAddr net.Addr
	Conn       net.Conn // as it was handed to the broker: do not read, write or close it
}

// An Authenticator decides who a client is. It is called once per CONNECT, on
// the goroutine of that connection, before anything else of the client counts.
type Authenticator interface {
	// Authenticate returns the principal that later accesses are judged for: a
	// certificate id, a user name. ErrBadCredentials and ErrNotAuthorized refuse the
	// client; any other error refuses it as a failure of the server.
	Authenticate(ctx context.Context, c Credentials) (principal string, err error)
}

// Access is one thing that a client wants to do.
type Access struct {
	Principal string
	ClientID  string
	// Action is iot:Connect, iot:Publish, iot:RetainPublish, iot:Subscribe or
	// iot:Receive.
	Action string
	// Resource is the end of the ARN: "client/{id}", "topic/{topic}" or
	// "topicfilter/{filter}", the filter as the client sent it.
	Resource string
	SourceIP string // without port; empty if the peer has no IP address
	// ConnectAttributes has PersistentConnect and LastWill if the client's CONNECT
	// asked for them.
	ConnectAttributes []string
	// Thing is the thing that the connection acts as, where that is not the
	// one named like the client id: what [Admission] says.
	Thing string
}

// The actions in an [Access].
const (
	ActionConnect       = "iot:Connect"
	ActionPublish       = "iot:Publish"
	ActionRetainPublish = "iot:RetainPublish"
	ActionSubscribe     = "iot:Subscribe"
	ActionReceive       = "iot:Receive"
)

// An Authorizer decides what a client may do. It is called from many
// goroutines. Decisions are remembered per session and topic until
// [Broker.InvalidateAuth]; it must not call back into the broker.
type Authorizer interface {
	// Authorize returns nil to allow, ErrNotAuthorized to refuse, and any
	// other error where it cannot tell, which refuses too and is not remembered.
	Authorize(ctx context.Context, a Access) error
}

// AllowAll admits everybody, as the principal named by the user name, to
// everything. It is meant for tests and for closed networks.
type AllowAll struct{}

// Authenticate returns the user name.
func (AllowAll) Authenticate(_ context.Context, c Credentials) (string, error) {
	return c.Username, nil
}

// Authorize returns nil.
func (AllowAll) Authorize(context.Context, Access) error { return nil }

// denyAll stands where Options has no Authenticator or Authorizer.
type denyAll struct{}

func (denyAll) Authenticate(context.Context, Credentials) (string, error) {
	return "", ErrNotAuthorized
}
func (denyAll) Authorize(context.Context, Access) error { return ErrNotAuthorized }

var (
	_ Authenticator = AllowAll{}
	_ Authorizer    = AllowAll{}
	_ Authenticator = denyAll{}
	_ Authorizer    = denyAll{}
)

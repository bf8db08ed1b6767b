package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/thingloom/thingloom/broker/internal/wire"
)

// An AuthMethod begins the exchange of an authentication method for one client: enhanced authentication,
// as SCRAM or Kerberos [MQTT5 4.12]. It is called for a CONNECT that names the method, and again
// when the client authenticates anew. Errors are as for [Authenticator].
type AuthMethod func(ctx context.Context, c Credentials) (Exchange, error)

// An Exchange is one authentication under way. It is used by one goroutine at a time.
type Exchange interface {
	// Next takes the data of the client's CONNECT or AUTH, nil if it has none, and says how to
	// go on. Errors are as for [Authenticator] and end the connection. data is not kept.
	Next(ctx context.Context, data []byte) (AuthStep, error)
}

// An AuthStep is what an Exchange answers.
type AuthStep struct {
	Data []byte // for the client; may be nil
	// Done ends the exchange: the client is who Admission says.
	Done      bool
	Admission Admission
}

// authentication is that of a connection with an authentication method.
type authentication struct {
	method   string
	cred     Credentials
	exchange Exchange // nil while none is under way
	pending  *wire.Connect
	ack      wire.Connack
}

// beginAuth answers a CONNECT that names an authentication method.
func (c *conn) beginAuth(p *wire.Connect, ack *wire.Connack) error {
	method := c.b.opts.AuthMethods[p.AuthMethod]
	if method == nil {
		return c.refuse(wire.BadAuthMethod, AuthError, fmt.Errorf("broker: authentication method %q is not known", p.AuthMethod)) // [MQTT-4.12.0-1]
	}
	cred := c.credentials(p)
	exchange, err := c.exchange(method, cred)
	if err != nil {
		return c.authError(err)
	}
	own := p.Clone() // the packet's memory is that of the read buffer
	cred.Password = own.Password
	c.auth = &authentication{method: own.AuthMethod, cred: cred, exchange: exchange, pending: &own, ack: *ack}
	return c.authStep(own.AuthData)
}

// authPacket takes an AUTH, whose method is that of the CONNECT.
func (c *conn) authPacket(a *wire.Auth) error {
	c.aside()
	if a.Code == wire.ReAuthenticate {
		if c.sess == nil {
			return c.refuse(wire.ProtocolError, ClientError, fmt.Errorf("%w: re-authentication before CONNACK", ErrProtocol)) // [MQTT-4.12.1-1]
		}
		exchange, err := c.exchange(c.b.opts.AuthMethods[a.Method], c.auth.cred)
		if err != nil {
			return c.authError(err)
		}
		c.auth.exchange = exchange
	} else if c.auth.exchange == nil {
		return c.refuse(wire.ProtocolError, ClientError, fmt.Errorf("%w: AUTH while nothing is to be continued", ErrProtocol))
	}
	err := c.authStep(a.Data)
	if err != nil && c.sess == nil {
		c.refused(c.info.ClientID, err)
	}
	return err
}

func (c *conn) exchange(method AuthMethod, cred Credentials) (_ Exchange, err error) {
	defer c.b.caughtAs(&err, "AuthMethod")
	return method(c.context(), cred)
}

func (c *conn) next(e Exchange, data []byte) (_ AuthStep, err error) {
	defer c.b.caughtAs(&err, "Exchange")
	return e.Next(c.context(), data)
}

// authStep goes on with the exchange. Its end is CONNACK, or AUTH for a client that was
// admitted before.
func (c *conn) authStep(data []byte) error {
	a := c.auth
	method := a.method
	step, err := c.next(a.exchange, data)
	switch {
	case err != nil:
		return c.authError(err) // [MQTT-4.12.0-4] [MQTT-4.12.1-2]
	case !step.Done:
		c.send(func(b []byte) []byte { return wire.AppendAuth(b, wire.ContinueAuth, method, step.Data) }) // [MQTT-4.12.0-2]
		return nil
	}
	a.exchange = nil
	if c.sess != nil {
		if step.Admission.Principal != c.info.Principal {
			return c.authError(fmt.Errorf("%w: re-authentication as somebody else", ErrNotAuthorized))
		}
		c.admission(&step.Admission)
		c.b.InvalidateAuth()
		c.send(func(b []byte) []byte { return wire.AppendAuth(b, wire.Success, method, step.Data) })
		return nil
	}
	p, ack := a.pending, a.ack
	a.pending = nil
	ack.AuthMethod, ack.AuthData = method, step.Data // [MQTT-4.12.0-5]
	return c.admit(p, &ack, &step.Admission)
}

// authError refuses for a failed authentication or authorisation, in the words of a
// Refusal if there is one.
func (c *conn) authError(err error) error {
	packet := wire.CONNACK
	if c.sess != nil {
		packet = wire.DISCONNECT
	}
	if code, ok := refusalCode(err, packet); ok {
		return c.refuse(code, AuthError, err)
	}
	switch {
	case errors.Is(err, ErrBadCredentials) && c.sess == nil:
		return c.refuse(wire.BadCredentials, AuthError, err)
	case errors.Is(err, ErrNotAuthorized), errors.Is(err, ErrBadCredentials):
		return c.refuse(wire.NotAuthorized, AuthError, err)
	}
	return c.refuse(wire.Unspecified, ServerError, err)
}

package broker

import (
	"errors"
	"fmt"

	"github.com/thingloom/thingloom/broker/internal/wire"
)

// A Refusal is an error with the very words in which an MQTT 5 client is told: return it from an
// [Authenticator], [Authorizer] or [Exchange], wrapped or not, where ErrNotAuthorized says too
// little. 3.1.1 clients get the return code that comes closest.
type Refusal struct {
	// Code is a reason code of 0x80 or above that the packet in question can carry; any other
	// becomes 0x80. For a CONNECT: 0x80, 0x81 to 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99 to 0x9D, 0x9F.
	// With 0x9C (use another server) and 0x9D (server moved) goes Server.
	Code byte
	// Text is the reason string. It is left out for a client that asked for none.
	Text string
	// Server is where the client shall go instead: names or addresses, with ports, separated
	// by spaces.
	Server string
	Err    error // may be nil
}

func (r *Refusal) Error() string {
	s := fmt.Sprintf("broker: refused with reason 0x%02x", r.Code)
	if r.Text != "" {
		s += ": " + r.Text
	}
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	return s
}

func (r *Refusal) Unwrap() error { return r.Err }

// UseServer is the Refusal that sends a client to another server: for good or for now.
func UseServer(server string, moved bool) *Refusal {
	code := wire.UseAnotherServer
	if moved {
		code = wire.ServerMoved
	}
	return &Refusal{Code: byte(code), Server: server}
}

// refusalCode is the code that a Refusal in err asks for, if the packet can carry it.
func refusalCode(err error, packet wire.Type) (wire.Code, bool) {
	var r *Refusal
	if !errors.As(err, &r) {
		return 0, false
	}
	code := wire.Code(r.Code)
	if !code.Refuses(packet) {
		code = wire.Unspecified
	}
	return code, true
}

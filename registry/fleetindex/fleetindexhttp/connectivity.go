package fleetindexhttp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry/fleetindex"
)

// A Connection is what a broker knows of the client of a thing beyond what is
// indexed.
type Connection struct {
	ClientID      string
	RemoteAddr    string // host:port of the client; empty if it has none, or is not connected
	KeepAlive     time.Duration
	SessionExpiry time.Duration
	CleanSession  bool
}

// connectivity is what GetThingConnectivityData answers.
type connectivity struct {
	Thing         string           `json:"thingName"`
	Connected     bool             `json:"connected"`
	Time          *awshttp.Seconds `json:"timestamp,omitempty"`
	Reason        string           `json:"disconnectReason,omitempty"`
	SourceIP      string           `json:"sourceIp,omitempty"`
	SourcePort    int              `json:"sourcePort,omitempty"`
	KeepAlive     *int64           `json:"keepAliveDuration,omitempty"` // seconds
	Clean         *bool            `json:"cleanSession,omitempty"`
	SessionExpiry *int64           `json:"sessionExpiry,omitempty"` // seconds
	ClientID      string           `json:"clientId,omitempty"`
}

// getConnectivity answers from the index what is indexed, which a thing has to
// be, and from the broker the rest.
func (a *api) getConnectivity(c *awshttp.Call) (any, error) {
	var in struct{ IncludeSocketInformation bool }
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	switch {
	case !a.ix.Config().Connectivity:
		return nil, fmt.Errorf("%w: connectivity is not indexed", fleetindex.ErrNotReady)
	case a.ix.Status() == fleetindex.Building:
		return nil, fleetindex.ErrNotReady
	}
	name := c.PathValue("thingName")
	t, ok, err := a.ix.Thing(c.Context(), name)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%w: thing %q", errThing, name)
	}
	out := connectivity{Thing: name}
	if p := t.Connectivity; p != nil {
		out.Connected, out.Reason = p.Connected, p.DisconnectReason
		if p.Timestamp != 0 {
			at := awshttp.Seconds(time.UnixMilli(p.Timestamp))
			out.Time = &at
		}
	}
	if err := a.addConnection(c.Context(), &out, in.IncludeSocketInformation); err != nil {
		return nil, err
	}
	return out, nil
}

func (a *api) addConnection(ctx context.Context, out *connectivity, sockets bool) error {
	if a.opts.Connection == nil {
		return nil
	}
	conn, ok, err := a.opts.Connection(ctx, out.Thing)
	if err != nil || !ok {
		return err
	}
	keepAlive, expiry := int64(conn.KeepAlive/time.Second), int64(conn.SessionExpiry/time.Second)
	out.ClientID, out.KeepAlive, out.Clean, out.SessionExpiry = conn.ClientID, &keepAlive, &conn.CleanSession, &expiry
	if sockets && out.Connected {
		out.SourceIP, out.SourcePort = address(conn.RemoteAddr)
	}
	return nil
}

func address(hostPort string) (host string, port int) {
	host, text, err := net.SplitHostPort(hostPort)
	if err != nil {
		return "", 0
	}
	if port, err = strconv.Atoi(text); err != nil {
		return host, 0 // the peer of a pipe
	}
	return host, port
}

// errThing reports a thing that is not in the registry.
var errThing = errors.New("fleetindexhttp: no such thing")

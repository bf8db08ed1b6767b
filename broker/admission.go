package broker

import (
	"context"
	"errors"
	"time"

	"github.com/thingloom/thingloom/broker/internal/wire"
)

// An Admission is how a client is let in: who it is, what it may do, and for how long.
type Admission struct {
	Principal string
	// Thing is the thing that the connection acts as, where that is not the one named
	// like the client id.
	Thing string
	// Authorizer decides for this connection; nil leaves it to Options.Authorizer.
	Authorizer Authorizer
	// Lifetime, if above zero, is after what time the connection is ended, with
	// reason 0xA0 and Reason, or CustomAuthTTLExpiration if that is empty.
	Lifetime time.Duration
	Reason   DisconnectReason
	// Refresh, if RefreshAfter is above zero, is called then for the Admission that holds from
	// there on. Its error ends the connection, with AuthError.
	RefreshAfter time.Duration
	Refresh      func(ctx context.Context) (Admission, error)
}

// An Admitter is an [Authenticator] that has more to say than a principal. The
// broker calls Admit instead of Authenticate.
type Admitter interface {
	Admit(ctx context.Context, c Credentials) (Admission, error)
}

// admission makes a hold for the connection. It is called from the reader alone.
func (c *conn) admission(a *Admission) {
	c.actsAs(a.Authorizer)
	c.stopAdmission()
	a = c.withLifetime(a)
	if a.Lifetime <= 0 && a.RefreshAfter <= 0 {
		return
	}
	ctx, cancel := context.WithCancel(c.base)
	over := make(chan struct{})
	c.stopAdmission = func() { cancel(); <-over }
	go func() { // stopAdmission waits for it
		defer close(over)
		c.watchAdmission(ctx, *a)
	}()
}

// withLifetime is a with the lifetime of the network connection, if it has one and that is shorter.
func (c *conn) withLifetime(a *Admission) *Admission {
	l, ok := c.nc.(interface{ Lifetime() time.Duration })
	if !ok || l.Lifetime() <= 0 || a.Lifetime > 0 && a.Lifetime <= l.Lifetime() {
		return a
	}
	own := *a
	own.Lifetime, own.Reason = l.Lifetime(), WebSocketTTLExpiration
	return &own
}

// actsAs sets who decides for this connection alone, nil for nobody.
func (c *conn) actsAs(a Authorizer) {
	if a == nil {
		c.own.Store(nil)
		return
	}
	own := a // a alone would be moved to the heap in the other case, too
	c.own.Store(&own)
}

// watchAdmission refreshes an admission until it is over, or ctx done.
func (c *conn) watchAdmission(ctx context.Context, a Admission) {
	began := time.Now()
	for {
		end, refresh := alarm(a.Lifetime-time.Since(began), a.Lifetime), alarm(a.RefreshAfter, a.RefreshAfter)
		select {
		case <-ctx.Done():
		case <-end:
			reason := a.Reason
			if reason == "" {
				reason = CustomAuthTTLExpiration
			}
			c.end(byte(wire.MaxConnectTime), reason, errLifetime)
		case <-refresh:
			next, err := c.refresh(ctx, &a)
			if ctx.Err() != nil {
				return
			}
			if err == nil && next.Principal != c.info.Principal {
				err = errors.New("broker: refreshed as somebody else")
			}
			if err != nil {
				c.end(notAuthorized, AuthError, err)
				return
			}
			c.actsAs(next.Authorizer)
			c.b.InvalidateAuth()
			next.Lifetime, next.Reason = a.Lifetime, a.Reason // counted from the connect
			a = next
			continue
		}
		return
	}
}

func (c *conn) refresh(ctx context.Context, a *Admission) (next Admission, err error) {
	defer c.b.caughtAs(&err, "Refresh")
	return a.Refresh(ctx)
}

// alarm fires after d, or never if limit is not set.
func alarm(d, limit time.Duration) <-chan time.Time {
	if limit <= 0 {
		return nil
	}
	return time.After(d)
}

// may asks whoever decides for this connection.
func (c *conn) may(action, resource string) (err error) {
	defer c.b.caughtAs(&err, "Authorizer")
	a := c.info.access(action, resource)
	if own := c.own.Load(); own != nil && *own != nil {
		return (*own).Authorize(c.base, a)
	}
	return c.b.opts.Authorizer.Authorize(c.base, a)
}

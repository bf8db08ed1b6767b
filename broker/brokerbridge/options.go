package brokerbridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/thingloom/thingloom/internal/topic"
)

// A Route is which topics go over, and how they are called on either side.
type Route struct {
	// Filter is what both sides have in common: a topic filter, not shared.
	Filter string
	// Local and Remote stand before it, on our side and on the other; they end in '/' as a rule,
	// and may be empty.
	Local, Remote string
	// QoS is the highest that messages go over with. Zero means 1; negative means 0.
	QoS int
}

func (r *Route) local() string  { return r.Local + r.Filter }
func (r *Route) remote() string { return r.Remote + r.Filter }
func (r *Route) qos() byte      { return byte(max(0, r.QoS)) }

// Options are the parts of a Bridge. Name and a Route are needed; the rest may be zero.
type Options struct {
	// Name tells bridges of one broker apart, and names their queues: letters, digits, '-', '_'.
	Name string
	// Out goes from our broker to the other, In the other way.
	Out, In []Route

	// BrokerID names our broker in [PathProperty]. Empty means Name.
	BrokerID string
	// MaxHops is through how many bridges a message may come. Zero means 8.
	MaxHops int

	// ClientID is that at the other broker. Empty means "bridge-" and Name.
	ClientID string
	Username string
	Password []byte
	// TLS is used with mqtts and wss. Nil means the system's roots.
	TLS *tls.Config
	// KeepAlive, in whole seconds. Zero means 30 s.
	KeepAlive time.Duration
	// SessionExpiry is how long either side keeps what waits while the bridge is away, as
	// far as the sides allow. Zero means 7 days.
	SessionExpiry time.Duration
	// Inflight is how many messages may be under way in each direction, 1 to 65535. Zero means 64.
	Inflight int
	// ConnectTimeout is for an attempt to connect, PublishTimeout for an acknowledgement. Zero
	// means 10 s and 30 s.
	ConnectTimeout, PublishTimeout time.Duration
	// RetryPause is the pause before something is tried again that failed; it doubles up to a
	// hundred times that. Zero means 250 ms.
	RetryPause time.Duration
	// Dial makes the connection instead of the bridge itself.
	Dial func(ctx context.Context, server *url.URL) (net.Conn, error)
	// Logger gets connects, losses and drops. Nil is silence.
	Logger *slog.Logger
}

func (o *Options) filled() (Options, error) {
	var f Options
	if o != nil {
		f = *o
	}
	var errs []error
	if f.Name == "" || strings.Trim(f.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		errs = append(errs, fmt.Errorf("brokerbridge: options: name %q", f.Name))
	}
	if len(f.Out)+len(f.In) == 0 {
		errs = append(errs, errors.New("brokerbridge: options: no route"))
	}
	errs = append(errs, check("Out", f.Out, (*Route).local), check("In", f.In, (*Route).remote))
	text := func(s *string, def string) {
		if *s == "" {
			*s = def
		}
	}
	span := func(name string, d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
		if *d < 0 {
			errs = append(errs, fmt.Errorf("brokerbridge: options: %s is negative", name))
		}
	}
	number := func(name string, n *int, def, most int) {
		if *n == 0 {
			*n = def
		}
		if *n < 1 || *n > most {
			errs = append(errs, fmt.Errorf("brokerbridge: options: %s is %d, not 1 to %d", name, *n, most))
		}
	}
	text(&f.BrokerID, f.Name)
	text(&f.ClientID, "bridge-"+f.Name)
	number("MaxHops", &f.MaxHops, 8, 1000)
	number("Inflight", &f.Inflight, 64, 65535)
	span("KeepAlive", &f.KeepAlive, 30*time.Second)
	span("SessionExpiry", &f.SessionExpiry, 7*24*time.Hour)
	span("ConnectTimeout", &f.ConnectTimeout, 10*time.Second)
	span("PublishTimeout", &f.PublishTimeout, 30*time.Second)
	span("RetryPause", &f.RetryPause, 250*time.Millisecond)
	if strings.ContainsAny(f.BrokerID, " ") {
		errs = append(errs, fmt.Errorf("brokerbridge: options: BrokerID %q has a blank", f.BrokerID))
	}
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	return f, errors.Join(errs...)
}

// check looks for what is wrong in the routes of a direction. from is what is subscribed to.
func check(direction string, routes []Route, from func(*Route) string) error {
	var errs []error
	for i := range routes {
		r := &routes[i]
		for _, filter := range []string{r.local(), r.remote()} {
			if err := topic.CheckFilter(filter); err != nil {
				errs = append(errs, fmt.Errorf("brokerbridge: options: %s[%d]: %w", direction, i, err))
			}
		}
		if strings.HasPrefix(r.local(), "$share/") || strings.HasPrefix(r.remote(), "$share/") {
			errs = append(errs, fmt.Errorf("brokerbridge: options: %s[%d]: %q is shared", direction, i, r.Filter))
		}
		if strings.ContainsAny(r.Local+r.Remote, "+#") {
			errs = append(errs, fmt.Errorf("brokerbridge: options: %s[%d]: a prefix has wildcards", direction, i))
		}
		if r.QoS > 2 {
			errs = append(errs, fmt.Errorf("brokerbridge: options: %s[%d]: QoS %d", direction, i, r.QoS))
		}
		for j := range routes[:i] {
			if topic.Overlap(from(r), from(&routes[j])) {
				errs = append(errs, fmt.Errorf("brokerbridge: options: %s[%d] and %s[%d] overlap", direction, j, direction, i))
			}
		}
	}
	return errors.Join(errs...)
}

// withDefaults is a copy of routes in which QoS is said.
func withDefaults(routes []Route) []Route {
	out := make([]Route, len(routes))
	for i, r := range routes {
		if r.QoS == 0 {
			r.QoS = 1
		}
		out[i] = r
	}
	return out
}

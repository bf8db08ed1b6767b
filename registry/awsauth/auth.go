package awsauth

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

// Keys finds access keys. It may be called from many goroutines.
type Keys interface {
	// Key returns the key with that ID, or ErrUnknownKey. Other errors are
	// told to the client as 500.
	Key(ctx context.Context, accessKeyID string) (Key, error)
}

// A Key is an access key: long-lived, or of a session.
type Key struct {
	// Secret is what requests are signed with.
	Secret string

	// SessionToken must come with each request where it is not empty.
	SessionToken string

	// Expires ends the key; zero is never.
	Expires time.Time

	// Principal is who a request with this key comes from.
	Principal string
}

// String keeps secrets out of logs.
func (k Key) String() string { return "key of " + k.Principal }

// GoString keeps secrets out of logs.
func (k Key) GoString() string { return k.String() }

// StaticKeys are keys by their ID, for programs that read them from a file.
type StaticKeys map[string]Key

// Key is part of Keys.
func (s StaticKeys) Key(_ context.Context, accessKeyID string) (Key, error) {
	k, ok := s[accessKeyID]
	if !ok || accessKeyID == "" {
		return Key{}, ErrUnknownKey
	}
	return k, nil
}

// Options are the optional parts of an Authenticator. A nil *Options is all
// defaults.
type Options struct {
	// Services are the services that a signature may be for. Nil means iot,
	// execute-api (the control plane of older clients), iotdata,
	// iot-jobs-data and iotdevicegateway.
	Services []string

	// Region is the region that a signature must be for. Empty is any.
	Region string

	// Skew is how far the date of a signature may be from the clock. Zero
	// means 5 minutes.
	Skew time.Duration

	// MaxPresigned is the longest that a presigned URL may be valid, by its
	// X-Amz-Expires. Zero means 7 days. A URL without, as device SDKs make
	// them, is valid for Skew.
	MaxPresigned time.Duration

	// MaxBodyBytes is the largest body accepted. Zero means 1 MiB.
	MaxBodyBytes int64

	// UnsignedPayload accepts signatures of the headers alone
	// (X-Amz-Content-Sha256: UNSIGNED-PAYLOAD). The body is then passed on as
	// it comes, bounded all the same.
	UnsignedPayload bool

	// Certificate names the principal of a client certificate; it has the
	// signature of the registry's PrincipalOf. Nil means that certificates do
	// not count.
	Certificate func(ctx context.Context, cert *x509.Certificate) (principal string, err error)

	// Now is the clock. Nil means time.Now.
	Now func() time.Time

	// Logger hears of errors of Keys. Nil is silence.
	Logger *slog.Logger
}

// An Identity is who sends a request.
type Identity struct {
	// Principal is Key.Principal, or what Options.Certificate told.
	Principal string

	// AccessKeyID, Service and Region are those of the signature; empty for a
	// certificate. Service tells apart the planes that have the same path:
	// iot, iotdata, iot-jobs-data.
	AccessKeyID, Service, Region string

	// Certificate is what a device showed; nil where there is a signature.
	Certificate *x509.Certificate
}

// An Authenticator verifies requests. Its methods may be called from many
// goroutines.
type Authenticator struct {
	keys  Keys
	opts  Options
	stats struct{ signed, certified, refused, failed atomic.Uint64 }
}

// Stats are the counters of an Authenticator. They only grow.
type Stats struct {
	Signed    uint64 // requests with a good signature
	Certified uint64 // requests with a good certificate
	Refused   uint64 // requests that were refused
	Failed    uint64 // requests refused because Keys or Certificate failed
}

// New returns an Authenticator. keys may be nil where only certificates count.
func New(keys Keys, opts *Options) (*Authenticator, error) {
	a := &Authenticator{keys: keys}
	if opts != nil {
		a.opts = *opts
	}
	o := &a.opts
	if keys == nil && o.Certificate == nil {
		return nil, errors.New("awsauth: New needs keys or Options.Certificate")
	}
	if o.Skew < 0 || o.MaxPresigned < 0 || o.MaxBodyBytes < 0 {
		return nil, errors.New("awsauth: an option is negative")
	}
	if keys == nil {
		a.keys = StaticKeys{}
	}
	if o.Services == nil {
		o.Services = []string{"iot", "execute-api", "iotdata", "iot-jobs-data", "iotdevicegateway"}
	}
	o.Services = slices.Clone(o.Services)
	if o.Skew == 0 {
		o.Skew = 5 * time.Minute
	}
	if o.MaxPresigned == 0 {
		o.MaxPresigned = 7 * 24 * time.Hour
	}
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = 1 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return a, nil
}

// Stats returns the counters.
func (a *Authenticator) Stats() Stats {
	s := &a.stats
	return Stats{s.signed.Load(), s.certified.Load(), s.refused.Load(), s.failed.Load()}
}

// Verify finds out who sends r: by its signature if it has one, else by its
// client certificate. A signed body is read, and r.Body replaced by what was
// read. Errors are those of this package, or those of Keys.
func (a *Authenticator) Verify(w http.ResponseWriter, r *http.Request) (Identity, error) {
	id, err := a.verify(w, r)
	switch status, _, _ := Describe(err); {
	case err == nil && id.Certificate != nil:
		a.stats.certified.Add(1)
	case err == nil:
		a.stats.signed.Add(1)
	case status >= 500:
		a.stats.failed.Add(1)
		a.opts.Logger.Error("authentication failed", "path", r.URL.EscapedPath(), "err", err)
	default:
		a.stats.refused.Add(1)
	}
	return id, err
}

func (a *Authenticator) verify(w http.ResponseWriter, r *http.Request) (Identity, error) {
	sig, err := parseSignature(r)
	switch {
	case err != nil:
		return Identity{}, err
	case sig != nil:
		return a.verifySignature(w, r, sig)
	case a.opts.Certificate == nil || r.TLS == nil || len(r.TLS.PeerCertificates) == 0:
		return Identity{}, ErrMissingToken
	}
	cert := r.TLS.PeerCertificates[0]
	principal, err := a.opts.Certificate(r.Context(), cert)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return Identity{Principal: principal, Certificate: cert}, nil
}

type identityKey struct{}

// FromContext returns the identity of the request that ctx belongs to.
func FromContext(ctx context.Context) (Identity, bool) {
	id, ok := ctx.Value(identityKey{}).(Identity)
	return id, ok
}

// Principal is the principal of the request that ctx belongs to, or "".
func Principal(ctx context.Context) string {
	id, _ := FromContext(ctx)
	return id.Principal
}

// Handler lets next serve the requests that Verify accepts, with the identity in
// their context, and answers the others.
func (a *Authenticator) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := a.Verify(w, r)
		if err != nil {
			answer(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey{}, id)))
	})
}

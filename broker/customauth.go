package broker

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/thingloom/thingloom/internal/policy"
	"github.com/thingloom/thingloom/internal/uuid"
)

// A CustomAuthorizer lets a function of the application say who a client is and what it may do, in the
// shape of AWS IoT's custom authorizers. Clients choose it by x-amz-customauthorizer-name, in
// the headers or the query of a WebSocket, or behind a '?' in the MQTT user name:
//
//	name?x-amz-customauthorizer-name=A&token=T&x-amz-customauthorizer-signature=S
type CustomAuthorizer struct {
	Name string
	// TokenKeyName is the name of the header or parameter with the token.
	TokenKeyName string
	// Keys, if any, are the public keys of which one must have signed the token (RSA, SHA-256,
	// PKCS #1 v1.5); otherwise the function is not asked. Without keys signing is off.
	Keys []*rsa.PublicKey
	// Invoke is the function. It has CustomAuthOptions.Timeout; what it answers is checked.
	Invoke func(ctx context.Context, in CustomAuthRequest) (CustomAuthResult, error)
}

// A CustomAuthRequest is what the function is given; its JSON is AWS IoT's.
type CustomAuthRequest struct {
	Token             string   `json:"token,omitempty"`
	SignatureVerified bool     `json:"signatureVerified"`
	Protocols         []string `json:"protocols"` // "tls", "http", "mqtt"
	ProtocolData      struct {
		TLS  *CustomAuthTLS  `json:"tls,omitempty"`
		HTTP *CustomAuthHTTP `json:"http,omitempty"`
		MQTT *CustomAuthMQTT `json:"mqtt,omitempty"`
	} `json:"protocolData"`
	ConnectionMetadata struct {
		ID string `json:"id"` // a UUID
	} `json:"connectionMetadata"`
}

// CustomAuthTLS is the TLS part of a [CustomAuthRequest].
type CustomAuthTLS struct {
	ServerName string `json:"serverName"`
}

// CustomAuthHTTP is what opened the WebSocket. Of a header given twice the values are joined by ','.
type CustomAuthHTTP struct {
	Headers     map[string]string `json:"headers"`
	QueryString string            `json:"queryString"`
}

// CustomAuthMQTT is the MQTT part of a [CustomAuthRequest]. The JSON of Password is base64.
type CustomAuthMQTT struct {
	Username string `json:"username,omitempty"`
	Password []byte `json:"password,omitempty"`
	ClientID string `json:"clientId"`
}

// A CustomAuthResult is what the function answers; its JSON is AWS IoT's.
type CustomAuthResult struct {
	IsAuthenticated bool   `json:"isAuthenticated"`
	PrincipalID     string `json:"principalId"` // 1 to 128 letters and digits
	// PolicyDocuments are at most 10, of at most 2,048 characters each.
	PolicyDocuments []PolicyDocument `json:"policyDocuments"`
	// Both are 300 to 86,400 seconds.
	DisconnectAfterInSeconds int `json:"disconnectAfterInSeconds"`
	RefreshAfterInSeconds    int `json:"refreshAfterInSeconds"`
}

// A PolicyDocument is the text of a policy. In JSON it is a string or the document itself.
type PolicyDocument string

// UnmarshalJSON takes both shapes.
func (p *PolicyDocument) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(p))
	}
	*p = PolicyDocument(bytes.Clone(b))
	return nil
}

// CustomAuthOptions are the optional parts of [NewCustomAuth]. A nil *CustomAuthOptions is all defaults.
type CustomAuthOptions struct {
	// Default is the name of the authorizer for clients that name none. Empty means that they
	// are next's.
	Default string
	// Region and Account stand in the ARNs that policies are judged by. Empty means
	// us-east-1 and 123456789012.
	Region, Account string
	// Lookup finds authorizers that were not given to NewCustomAuth, by name, whenever a client connects;
	// ErrNotFound says that there is none. For an empty name it gives the default one, which is that
	// of the clients that name none and show no certificate. Nil knows none.
	Lookup func(ctx context.Context, name string) (CustomAuthorizer, error)
	// Timeout is how long a function may take. Zero means 5 s.
	Timeout time.Duration
}

// CustomAuth is an [Authenticator] and [Admitter] over custom authorizers.
type CustomAuth struct {
	next        Authenticator
	opts        CustomAuthOptions
	authorizers map[string]*CustomAuthorizer
}

// NewCustomAuth returns an Authenticator that asks the authorizers for the clients that
// choose one, and next for all others: certificates, for one.
func NewCustomAuth(next Authenticator, opts *CustomAuthOptions, authorizers ...CustomAuthorizer) (*CustomAuth, error) {
	a := &CustomAuth{next: next, authorizers: map[string]*CustomAuthorizer{}}
	if opts != nil {
		a.opts = *opts
	}
	if a.opts.Region == "" {
		a.opts.Region = "us-east-1"
	}
	if a.opts.Account == "" {
		a.opts.Account = "123456789012"
	}
	if a.opts.Timeout == 0 {
		a.opts.Timeout = 5 * time.Second
	}
	var errs []error
	for _, one := range authorizers {
		if a.authorizers[one.Name] != nil {
			errs = append(errs, fmt.Errorf("broker: two custom authorizers %q", one.Name))
		}
		errs = append(errs, one.check())
		a.authorizers[one.Name] = &one
	}
	if a.opts.Default != "" && a.authorizers[a.opts.Default] == nil {
		errs = append(errs, fmt.Errorf("broker: no custom authorizer %q, the default", a.opts.Default))
	}
	if next == nil {
		a.next = denyAll{}
	}
	return a, errors.Join(errs...)
}

func (o *CustomAuthorizer) check() error {
	switch {
	case o.Name == "" || o.Invoke == nil:
		return fmt.Errorf("broker: custom authorizer %q: a name and a function are needed", o.Name)
	case len(o.Keys) > 0 && o.TokenKeyName == "":
		return fmt.Errorf("broker: custom authorizer %q: signing needs a token key name", o.Name)
	}
	return nil
}

// find returns the authorizer of that name, or nil.
func (a *CustomAuth) find(ctx context.Context, name string) (*CustomAuthorizer, error) {
	if one := a.authorizers[name]; one != nil || a.opts.Lookup == nil {
		return one, nil
	}
	one, err := a.opts.Lookup(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err == nil {
		err = one.check()
	}
	return &one, err
}

// choose returns the authorizer of a client, nil if it is next's.
func (a *CustomAuth) choose(ctx context.Context, name string, c *Credentials) (*CustomAuthorizer, error) {
	if name == "" {
		name = a.opts.Default
	}
	if name == "" && c.TLS != nil && len(c.TLS.PeerCertificates) > 0 {
		return nil, nil
	}
	one, err := a.find(ctx, name)
	if err == nil && one == nil && name != "" {
		err = fmt.Errorf("%w: no custom authorizer %q", ErrNotAuthorized, name)
	}
	return one, err
}

// Authenticate implements [Authenticator]; the broker calls Admit.
func (a *CustomAuth) Authenticate(ctx context.Context, c Credentials) (string, error) {
	admission, err := a.Admit(ctx, c)
	return admission.Principal, err
}

// Admit implements [Admitter].
func (a *CustomAuth) Admit(ctx context.Context, c Credentials) (Admission, error) {
	in, say := customAuthRequest(&c)
	one, err := a.choose(ctx, say(customAuthName), &c)
	if err != nil {
		return Admission{}, err
	}
	if one == nil {
		if next, ok := a.next.(Admitter); ok {
			return next.Admit(ctx, c)
		}
		principal, err := a.next.Authenticate(ctx, c)
		return Admission{Principal: principal}, err
	}
	if one.TokenKeyName != "" {
		in.Token = say(one.TokenKeyName)
	}
	if len(one.Keys) > 0 {
		if !signedBy(one.Keys, in.Token, say(customAuthSignature)) {
			return Admission{}, fmt.Errorf("%w: custom authorizer %q: signature of the token", ErrBadCredentials, one.Name)
		}
		in.SignatureVerified = true
	}
	return a.invoke(ctx, one, &in)
}

// Test asks the function of one authorizer, also one that Lookup does not give, as for a client that has
// shown what is in the request: Token, TLS, HTTP and MQTT; the rest of it is filled in. A token without
// a good signature is not authenticated where signing is on, and the function is not asked. An error is that
// of the function, or says what is wrong with its answer.
func (a *CustomAuth) Test(ctx context.Context, one CustomAuthorizer, in CustomAuthRequest, signature string) (CustomAuthResult, error) {
	if err := one.check(); err != nil {
		return CustomAuthResult{}, err
	}
	in.ConnectionMetadata.ID = uuid.New().String()
	in.Protocols = nil
	for _, p := range []struct {
		name  string
		shown bool
	}{{"tls", in.ProtocolData.TLS != nil}, {"http", in.ProtocolData.HTTP != nil}, {"mqtt", in.ProtocolData.MQTT != nil}} {
		if p.shown {
			in.Protocols = append(in.Protocols, p.name)
		}
	}
	if len(one.Keys) > 0 {
		if in.SignatureVerified = signedBy(one.Keys, in.Token, signature); !in.SignatureVerified {
			return CustomAuthResult{}, nil
		}
	}
	out, err := a.call(ctx, &one, &in)
	if err == nil && out.IsAuthenticated {
		_, err = out.check()
	}
	return out, err
}

// call asks the function.
func (a *CustomAuth) call(ctx context.Context, one *CustomAuthorizer, in *CustomAuthRequest) (CustomAuthResult, error) {
	limited, cancel := context.WithTimeout(ctx, a.opts.Timeout)
	defer cancel()
	out, err := one.Invoke(limited, *in)
	if err == nil && limited.Err() != nil {
		err = limited.Err()
	}
	return out, err
}

// invoke admits by what the function says, now and for each refresh.
func (a *CustomAuth) invoke(ctx context.Context, one *CustomAuthorizer, in *CustomAuthRequest) (Admission, error) {
	out, err := a.call(ctx, one, in)
	if err != nil {
		return Admission{}, fmt.Errorf("broker: custom authorizer %q: %w", one.Name, err)
	}
	if !out.IsAuthenticated {
		return Admission{}, fmt.Errorf("%w: custom authorizer %q says no", ErrBadCredentials, one.Name)
	}
	policies, err := out.check()
	if err != nil {
		return Admission{}, fmt.Errorf("broker: custom authorizer %q: %w", one.Name, err)
	}
	return Admission{
		Principal:    out.PrincipalID,
		Authorizer:   &policyAuthorizer{"arn:aws:iot:" + a.opts.Region + ":" + a.opts.Account + ":", policies},
		Lifetime:     time.Duration(out.DisconnectAfterInSeconds) * time.Second,
		Reason:       CustomAuthTTLExpiration,
		RefreshAfter: time.Duration(out.RefreshAfterInSeconds) * time.Second,
		Refresh:      func(ctx context.Context) (Admission, error) { return a.invoke(ctx, one, in) },
	}, nil
}

var principalID = regexp.MustCompile(`^[A-Za-z0-9]{1,128}$`)

// check is the result's policies, compiled.
func (r *CustomAuthResult) check() (*policy.Set, error) {
	between := func(name string, n int) error {
		if n < 300 || n > 86_400 {
			return fmt.Errorf("%s is %d, not 300 to 86400", name, n)
		}
		return nil
	}
	errs := []error{between("disconnectAfterInSeconds", r.DisconnectAfterInSeconds), between("refreshAfterInSeconds", r.RefreshAfterInSeconds)}
	if !principalID.MatchString(r.PrincipalID) {
		errs = append(errs, fmt.Errorf("principalId %q is not 1 to 128 letters and digits", r.PrincipalID))
	}
	if len(r.PolicyDocuments) > 10 {
		errs = append(errs, fmt.Errorf("%d policy documents, 10 are allowed", len(r.PolicyDocuments)))
	}
	var list []policy.Policy
	for i, text := range r.PolicyDocuments {
		doc, err := policy.Parse([]byte(text))
		if n := policy.Characters([]byte(text)); err == nil && n > 2048 {
			err = fmt.Errorf("%d characters, 2048 are allowed", n)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("policy document %d: %w", i, err))
			continue
		}
		list = append(list, policy.Policy{Name: fmt.Sprint(i), Doc: doc})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return policy.NewSet(list...), nil
}

// A policyAuthorizer decides by the policies of one connection.
type policyAuthorizer struct {
	arns string
	set  *policy.Set
}

func (p *policyAuthorizer) Authorize(_ context.Context, a Access) error {
	d := p.set.Decide(&policy.Request{Action: a.Action, Resource: p.arns + a.Resource, Context: &policy.Context{
		ClientID: a.ClientID, SourceIP: a.SourceIP, ConnectAttributes: a.ConnectAttributes, Time: time.Now(),
	}})
	if d.Effect != policy.Allow {
		return fmt.Errorf("%w: %s on %s", ErrNotAuthorized, a.Action, a.Resource)
	}
	return nil
}

const (
	customAuthName      = "x-amz-customauthorizer-name"
	customAuthSignature = "x-amz-customauthorizer-signature"
)

// customAuthRequest is what a client has shown. say finds what it says under a name: in the user
// name first, then in the headers and the query.
func customAuthRequest(c *Credentials) (in CustomAuthRequest, say func(name string) string) {
	in.ConnectionMetadata.ID = uuid.New().String()
	if c.TLS != nil && c.TLS.HandshakeComplete {
		in.Protocols = append(in.Protocols, "tls")
		in.ProtocolData.TLS = &CustomAuthTLS{c.TLS.ServerName}
	}
	if c.Header != nil {
		in.Protocols = append(in.Protocols, "http")
		h := &CustomAuthHTTP{Headers: map[string]string{}, QueryString: c.Query}
		for name, values := range c.Header {
			h.Headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
		in.ProtocolData.HTTP = h
	}
	in.Protocols = append(in.Protocols, "mqtt")
	in.ProtocolData.MQTT = &CustomAuthMQTT{Username: c.Username, Password: bytes.Clone(c.Password), ClientID: c.ClientID}

	_, behind, _ := strings.Cut(c.Username, "?")
	user, _ := url.ParseQuery(behind) // of what is malformed there is nothing to find
	query, _ := url.ParseQuery(c.Query)
	return in, func(name string) string {
		if v := user.Get(name); v != "" {
			return v
		}
		if in.ProtocolData.HTTP != nil {
			if v := in.ProtocolData.HTTP.Headers[strings.ToLower(name)]; v != "" {
				return v
			}
		}
		return query.Get(name)
	}
}

// signedBy reports whether one of the keys has signed the token. Clients that do not escape
// base64 in a query have their '+' read as blanks.
func signedBy(keys []*rsa.PublicKey, token, signature string) bool {
	raw, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(signature, " ", "+"))
	if err != nil || token == "" {
		return false
	}
	sum := sha256.Sum256([]byte(token))
	for _, key := range keys {
		if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], raw) == nil {
			return true
		}
	}
	return false
}

var (
	_ Authenticator = (*CustomAuth)(nil)
	_ Admitter      = (*CustomAuth)(nil)
)

package registry

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// An Authorizer is what AWS IoT calls a custom authorizer: a function that says
// who a client is and what it may do. The registry keeps what is said of it; who
// calls the function is whoever authenticates clients.
type Authorizer struct {
	Name     string `json:"name"`     // 1 to 128 of a-z, A-Z, 0-9 and _=,@-
	Function string `json:"function"` // ARN
	// TokenKey is the name of the header or parameter that has the token.
	TokenKey string `json:"tokenKey,omitempty"`
	// Keys are the public keys that tokens may be signed with, in PEM by their
	// names: RSA of 2048 bits at least. They are needed unless Unsigned.
	Keys     map[string]string `json:"keys,omitempty"`
	Unsigned bool              `json:"unsigned,omitempty"` // signingDisabled
	Active   bool              `json:"active,omitempty"`
	Caching  bool              `json:"caching,omitempty"` // enableCachingForHttp: kept and not used
	Created  time.Time         `json:"created"`
	Modified time.Time         `json:"modified"`
	// Tags are set at creation and by ChangeTags.
	Tags map[string]string `json:"tags,omitempty"`
}

const (
	aliasChars       = "_=,@-" // of the names of authorizers and role aliases
	maxAuthorizers   = 100     // our choice
	maxSigningKeys   = 2       // our choice: the old one and the new one
	maxFunctionBytes = 2048
)

// PublicKeys are the keys of the authorizer, in the order of their names.
func (a *Authorizer) PublicKeys() ([]*rsa.PublicKey, error) {
	var keys []*rsa.PublicKey
	for _, name := range slices.Sorted(maps.Keys(a.Keys)) {
		block, _ := pem.Decode([]byte(a.Keys[name]))
		if block == nil {
			return nil, invalid("tokenSigningPublicKeys", "has %q, which is not PEM", name)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, invalid("tokenSigningPublicKeys", "has %q: %v", name, err)
		}
		public, ok := key.(*rsa.PublicKey)
		if !ok || public.N.BitLen() < 2048 {
			return nil, invalid("tokenSigningPublicKeys", "has %q, which is no RSA key of 2048 bits or more", name)
		}
		keys = append(keys, public)
	}
	return keys, nil
}

func (a *Authorizer) check() error {
	if err := checkChars("authorizerName", a.Name, aliasChars, maxName); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(a.Function); n == 0 || n > maxFunctionBytes || !strings.HasPrefix(a.Function, "arn:") {
		return invalid("authorizerFunctionArn", "%.80q is not an ARN", a.Function)
	}
	if a.TokenKey != "" {
		if err := checkChars("tokenKeyName", a.TokenKey, "_-", maxName); err != nil {
			return err
		}
	}
	for name := range a.Keys {
		if err := checkChars("tokenSigningPublicKeys", name, ":_-", maxName); err != nil {
			return err
		}
	}
	switch {
	case len(a.Keys) > maxSigningKeys:
		return invalid("tokenSigningPublicKeys", "has %d keys, more than %d", len(a.Keys), maxSigningKeys)
	case a.Unsigned && len(a.Keys) > 0:
		return invalid("tokenSigningPublicKeys", "are given though signing is disabled")
	case !a.Unsigned && (len(a.Keys) == 0 || a.TokenKey == ""):
		return invalid("tokenSigningPublicKeys", "and tokenKeyName are needed unless signing is disabled")
	}
	if _, err := a.PublicKeys(); err != nil {
		return err
	}
	return checkTags(a.Tags)
}

// CreateAuthorizer adds an authorizer (ErrExists, ErrLimit).
func (r *Registry) CreateAuthorizer(ctx context.Context, a Authorizer) (Authorizer, error) {
	if err := a.check(); err != nil {
		return Authorizer{}, err
	}
	a.Created = r.opts.Now().UTC()
	a.Modified = a.Created
	err := r.update(ctx, func(x *tx) error {
		found, err := x.get(keyAuthorizer+a.Name, nil)
		if err != nil {
			return err
		}
		if found {
			return &ExistsError{Kind: "authorizer", ID: a.Name, ARN: r.ARN("authorizer/" + a.Name)}
		}
		count := 0
		for _, err := range r.names(ctx, keyAuthorizer, "") {
			if err != nil {
				return err
			}
			count++
		}
		if count >= maxAuthorizers {
			return fmt.Errorf("registry: there are %d authorizers: %w", count, ErrLimit)
		}
		return x.put(keyAuthorizer+a.Name, a)
	})
	return a, err
}

// Authorizer returns the authorizer, or ErrNotFound.
func (r *Registry) Authorizer(ctx context.Context, name string) (Authorizer, error) {
	return stored[Authorizer](ctx, r, keyAuthorizer+name, "authorizer", name)
}

// Authorizers yields the authorizers whose names come after the given one, in order.
func (r *Registry) Authorizers(ctx context.Context, after string) iter.Seq2[Authorizer, error] {
	return scan[Authorizer](ctx, r, keyAuthorizer, after)
}

// UpdateAuthorizer lets change make another of an authorizer. Its name, whether
// tokens are signed, its tags and its times are not for change. The default
// authorizer stays active (ErrInvalid).
func (r *Registry) UpdateAuthorizer(ctx context.Context, name string, change func(*Authorizer)) (Authorizer, error) {
	var now Authorizer
	err := r.update(ctx, func(x *tx) error {
		old, err := x.authorizer(name)
		if err != nil {
			return err
		}
		now = old
		now.Keys = maps.Clone(old.Keys)
		change(&now)
		now.Name, now.Unsigned, now.Tags, now.Created, now.Modified = name, old.Unsigned, old.Tags, old.Created, r.opts.Now().UTC()
		if err := now.check(); err != nil {
			return err
		}
		if fallback, err := x.defaultAuthorizer(); err != nil {
			return err
		} else if fallback == name && !now.Active {
			return invalid("status", "cannot be INACTIVE: %s is the default authorizer", name)
		}
		return x.put(keyAuthorizer+name, now)
	})
	return now, err
}

// DeleteAuthorizer removes an authorizer, which must be inactive and not the
// default (ErrDeleteConflict).
func (r *Registry) DeleteAuthorizer(ctx context.Context, name string) error {
	return r.update(ctx, func(x *tx) error {
		a, err := x.authorizer(name)
		if err != nil {
			return err
		}
		fallback, err := x.defaultAuthorizer()
		if err != nil {
			return err
		}
		if a.Active || fallback == name {
			return fmt.Errorf("registry: authorizer %s is active: %w", name, ErrDeleteConflict)
		}
		x.delete(keyAuthorizer + name)
		return nil
	})
}

// SetDefaultAuthorizer makes an active authorizer that of the clients that name
// none. If there is another the error is ErrExists: clear it first.
func (r *Registry) SetDefaultAuthorizer(ctx context.Context, name string) error {
	return r.update(ctx, func(x *tx) error {
		a, err := x.authorizer(name)
		if err != nil {
			return err
		}
		if !a.Active {
			return invalid("authorizerName", "%s is not ACTIVE", name)
		}
		fallback, err := x.defaultAuthorizer()
		if err != nil || fallback == name {
			return err
		}
		if fallback != "" {
			return &ExistsError{Kind: "default authorizer", ID: fallback, ARN: r.ARN("authorizer/" + fallback)}
		}
		return x.put(keyDefaultAuth, name)
	})
}

// ClearDefaultAuthorizer leaves no default (ErrNotFound if there is none).
func (r *Registry) ClearDefaultAuthorizer(ctx context.Context) error {
	return r.update(ctx, func(x *tx) error {
		fallback, err := x.defaultAuthorizer()
		if err == nil && fallback == "" {
			err = notFound("authorizer", "default")
		}
		if err == nil {
			x.delete(keyDefaultAuth)
		}
		return err
	})
}

// DefaultAuthorizer returns the authorizer of the clients that name none, or ErrNotFound.
func (r *Registry) DefaultAuthorizer(ctx context.Context) (Authorizer, error) {
	var name string
	found, _, err := r.load(ctx, keyDefaultAuth, &name)
	if err == nil && !found {
		err = notFound("authorizer", "default")
	}
	if err != nil {
		return Authorizer{}, err
	}
	a, err := r.Authorizer(ctx, name)
	if errors.Is(err, ErrNotFound) { // cleared and deleted in between
		err = notFound("authorizer", "default")
	}
	return a, err
}

func (t *tx) authorizer(name string) (Authorizer, error) {
	return needed[Authorizer](t, keyAuthorizer+name, "authorizer", name)
}

func (t *tx) defaultAuthorizer() (name string, err error) {
	_, err = t.get(keyDefaultAuth, &name)
	return name, err
}

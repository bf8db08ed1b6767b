package registry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"
)

func publicPEM(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestAuthorizerRules(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	f.ok(err)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.ok(err)
	key := publicPEM(t, private.Public())
	whole := func() Authorizer {
		return Authorizer{Name: "a", Function: "arn:aws:lambda:us-east-1:123456789012:function:f", TokenKey: "token", Keys: map[string]string{"k": key}}
	}
	for what, change := range map[string]func(*Authorizer){
		"no name":                   func(a *Authorizer) { a.Name = "" },
		"a name with a slash":       func(a *Authorizer) { a.Name = "a/b" },
		"no function":               func(a *Authorizer) { a.Function = "" },
		"a function that is no ARN": func(a *Authorizer) { a.Function = "f" },
		"no token key":              func(a *Authorizer) { a.TokenKey = "" },
		"an odd token key":          func(a *Authorizer) { a.TokenKey = "a=b" },
		"no keys":                   func(a *Authorizer) { a.Keys = nil },
		"three keys":                func(a *Authorizer) { a.Keys = map[string]string{"1": key, "2": key, "3": key} },
		"a key that is no PEM":      func(a *Authorizer) { a.Keys["k"] = "x" },
		"a key of another kind":     func(a *Authorizer) { a.Keys["k"] = publicPEM(t, curve.Public()) },
		"keys for nothing":          func(a *Authorizer) { a.Unsigned = true },
	} {
		a := whole()
		change(&a)
		if _, err := f.CreateAuthorizer(ctx, a); err == nil {
			t.Errorf("%s: no error", what)
		} else {
			f.want(err, ErrInvalid)
		}
	}
	made, err := f.CreateAuthorizer(ctx, whole())
	f.ok(err)
	_, err = f.CreateAuthorizer(ctx, whole())
	f.want(err, ErrExists)
	if keys, err := made.PublicKeys(); err != nil || len(keys) != 1 || !keys[0].Equal(private.Public()) {
		t.Errorf("keys %v, %v", keys, err)
	}

	// The default is active, and stays so.
	_, err = f.DefaultAuthorizer(ctx)
	f.want(err, ErrNotFound)
	f.want(f.ClearDefaultAuthorizer(ctx), ErrNotFound)
	f.want(f.SetDefaultAuthorizer(ctx, "none"), ErrNotFound)
	f.want(f.SetDefaultAuthorizer(ctx, "a"), ErrInvalid)
	f.clock.t = f.clock.t.Add(time.Minute)
	now, err := f.UpdateAuthorizer(ctx, "a", func(a *Authorizer) { a.Active, a.Name, a.Unsigned = true, "b", true })
	f.ok(err)
	if now.Name != "a" || now.Unsigned || !now.Modified.After(now.Created) {
		t.Errorf("%+v", now)
	}
	f.ok(f.SetDefaultAuthorizer(ctx, "a"), f.SetDefaultAuthorizer(ctx, "a"))
	_, err = f.UpdateAuthorizer(ctx, "a", func(a *Authorizer) { a.Active = false })
	f.want(err, ErrInvalid)
	f.want(f.DeleteAuthorizer(ctx, "a"), ErrDeleteConflict)
	other := whole()
	other.Name, other.Active = "b", true
	_, err = f.CreateAuthorizer(ctx, other)
	f.ok(err)
	f.want(f.SetDefaultAuthorizer(ctx, "b"), ErrExists)
	f.want(f.DeleteAuthorizer(ctx, "b"), ErrDeleteConflict) // active
	if a, err := f.DefaultAuthorizer(ctx); err != nil || a.Name != "a" {
		t.Errorf("the default is %q, %v", a.Name, err)
	}
	f.ok(f.ClearDefaultAuthorizer(ctx))
	_, err = f.UpdateAuthorizer(ctx, "a", func(a *Authorizer) { a.Active = false })
	f.ok(err, f.DeleteAuthorizer(ctx, "a"))
	f.want(f.DeleteAuthorizer(ctx, "a"), ErrNotFound)
	if got := list(t, f.Authorizers(ctx, "")); len(got) != 1 || got[0].Name != "b" {
		t.Errorf("left are %+v", got)
	}
}

func TestRoleAliasRules(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	const role = "arn:aws:iam::123456789012:role/x"
	for what, a := range map[string]RoleAlias{
		"no name":    {Role: role},
		"no role":    {Name: "a"},
		"no ARN":     {Name: "a", Role: "role/aaaaaaaaaaaaaaaaaaaaaaa"},
		"too short":  {Name: "a", Role: role, Duration: time.Minute},
		"too long":   {Name: "a", Role: role, Duration: 13 * time.Hour},
		"an odd tag": {Name: "a", Role: role, Tags: map[string]string{"?": ""}},
	} {
		if _, err := f.CreateRoleAlias(ctx, a); err == nil {
			t.Errorf("%s: no error", what)
		} else {
			f.want(err, ErrInvalid)
		}
	}
	a, err := f.CreateRoleAlias(ctx, RoleAlias{Name: "a", Role: role})
	f.ok(err)
	if a.Duration != time.Hour {
		t.Errorf("valid for %s", a.Duration)
	}
	_, err = f.CreateRoleAlias(ctx, RoleAlias{Name: "a", Role: role})
	f.want(err, ErrExists)
	_, err = f.UpdateRoleAlias(ctx, "b", role, 0)
	f.want(err, ErrNotFound)
	_, err = f.UpdateRoleAlias(ctx, "a", "x", 0)
	f.want(err, ErrInvalid)
	a, err = f.UpdateRoleAlias(ctx, "a", "", 2*time.Hour)
	f.ok(err)
	if stored, err := f.RoleAlias(ctx, "a"); err != nil || stored.Role != role || stored.Duration != 2*time.Hour || a.Duration != stored.Duration {
		t.Errorf("%+v, %v", stored, err)
	}
	f.ok(f.DeleteRoleAlias(ctx, "a"))
	f.want(f.DeleteRoleAlias(ctx, "a"), ErrNotFound)
}

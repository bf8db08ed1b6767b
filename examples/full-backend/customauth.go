package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/thingloom/thingloom/actions/function"
	"github.com/thingloom/thingloom/actions/table"
	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/registryhttp"
)

// customAuth lets the authorizers of the registry rule on the clients that choose one, by the functions of this program.
func (b *backend) customAuth(next broker.Authenticator) (*broker.CustomAuth, error) {
	return broker.NewCustomAuth(next, &broker.CustomAuthOptions{Lookup: func(ctx context.Context, name string) (broker.CustomAuthorizer, error) {
		a, err := b.registry.Authorizer(ctx, name)
		if name == "" {
			a, err = b.registry.DefaultAuthorizer(ctx)
		}
		if errors.Is(err, registry.ErrNotFound) || err == nil && !a.Active {
			return broker.CustomAuthorizer{}, broker.ErrNotFound
		}
		if err != nil {
			return broker.CustomAuthorizer{}, err
		}
		return b.authorizer(a)
	}})
}

// authorizer binds an authorizer to its function.
func (b *backend) authorizer(a registry.Authorizer) (broker.CustomAuthorizer, error) {
	keys, err := a.PublicKeys()
	return broker.CustomAuthorizer{Name: a.Name, TokenKeyName: a.TokenKey, Keys: keys,
		Invoke: func(ctx context.Context, in broker.CustomAuthRequest) (out broker.CustomAuthResult, err error) {
			event, err := json.Marshal(in)
			if err != nil {
				return out, err
			}
			answer, err := b.functions.Invoke(ctx, function.NameOf(a.Function), event)
			if err != nil {
				return out, err
			}
			return out, json.Unmarshal(answer, &out)
		}}, err
}

// testAuthorizer is TestInvokeAuthorizer.
func (b *backend) testAuthorizer(ctx context.Context, a registry.Authorizer, t registryhttp.AuthorizerTest) (registryhttp.AuthorizerResult, error) {
	one, err := b.authorizer(a)
	if err != nil {
		return registryhttp.AuthorizerResult{}, err
	}
	in := broker.CustomAuthRequest{Token: t.Token}
	if t.TLS != nil {
		in.ProtocolData.TLS = &broker.CustomAuthTLS{ServerName: t.TLS.ServerName}
	}
	if t.HTTP != nil {
		in.ProtocolData.HTTP = &broker.CustomAuthHTTP{Headers: t.HTTP.Headers, QueryString: t.HTTP.QueryString}
	}
	if t.MQTT != nil {
		in.ProtocolData.MQTT = &broker.CustomAuthMQTT{Username: t.MQTT.Username, Password: t.MQTT.Password, ClientID: t.MQTT.ClientID}
	}
	r, err := b.custom.Test(ctx, one, in, t.TokenSignature)
	if err != nil {
		return registryhttp.AuthorizerResult{}, fmt.Errorf("%w: %w", registryhttp.ErrAuthorizerResponse, err)
	}
	out := registryhttp.AuthorizerResult{Authenticated: r.IsAuthenticated, Principal: r.PrincipalID, RefreshAfter: r.RefreshAfterInSeconds, DisconnectAfter: r.DisconnectAfterInSeconds}
	for _, p := range r.PolicyDocuments {
		out.Policies = append(out.Policies, string(p))
	}
	return out, nil
}

// checkUser is the function "check-user": an authorizer for users with a password, whose SHA-256 in hexadecimal digits is in
// the table users, {"password": "..."}. A user may do everything with topics below users/<name>/.
func (b *backend) checkUser(ctx context.Context, event []byte) ([]byte, error) {
	var in broker.CustomAuthRequest
	if err := json.Unmarshal(event, &in); err != nil {
		return nil, err
	}
	var out broker.CustomAuthResult
	mqtt := in.ProtocolData.MQTT
	if mqtt == nil {
		return json.Marshal(out)
	}
	name, _, _ := strings.Cut(mqtt.Username, "?")
	item, err := b.tables.Get(ctx, "users", name, "")
	var user struct{ Password string }
	if err == nil {
		err = json.Unmarshal(item, &user)
	}
	sum := sha256.Sum256(mqtt.Password)
	if errors.Is(err, table.ErrNotFound) || name == "" {
		return json.Marshal(out)
	}
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(user.Password), []byte(hex.EncodeToString(sum[:]))) == 0 {
		return json.Marshal(out)
	}
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"*"},
		{"Effect":"Allow","Action":["iot:Publish","iot:Receive"],"Resource":"arn:aws:iot:*:*:topic/users/%[1]s/*"},
		{"Effect":"Allow","Action":"iot:Subscribe","Resource":"arn:aws:iot:*:*:topicfilter/users/%[1]s/*"}]}`, name)
	return json.Marshal(broker.CustomAuthResult{IsAuthenticated: true, PrincipalID: name, PolicyDocuments: []broker.PolicyDocument{broker.PolicyDocument(policy)},
		DisconnectAfterInSeconds: 86_400, RefreshAfterInSeconds: 300})
}

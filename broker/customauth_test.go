package broker

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

const allowA = `{"Version":"2012-10-17","Statement":[
	{"Effect":"Allow","Action":"iot:Connect","Resource":"*"},
	{"Effect":"Allow","Action":["iot:Publish","iot:Subscribe","iot:Receive"],"Resource":"arn:aws:iot:us-east-1:123456789012:*/a"}]}`

// custom is a broker whose clients may choose the authorizer "own".
func custom(t *testing.T, one CustomAuthorizer, opts *CustomAuthOptions) func(*Options) {
	t.Helper()
	one.Name = "own"
	auth, err := NewCustomAuth(AllowAll{}, opts, one)
	if err != nil {
		t.Fatal(err)
	}
	return func(o *Options) { o.Authenticator = auth }
}

func answer(r CustomAuthResult) func(context.Context, CustomAuthRequest) (CustomAuthResult, error) {
	return func(context.Context, CustomAuthRequest) (CustomAuthResult, error) { return r, nil }
}

func good() CustomAuthResult {
	return CustomAuthResult{IsAuthenticated: true, PrincipalID: "ann1", PolicyDocuments: []PolicyDocument{allowA},
		DisconnectAfterInSeconds: 3600, RefreshAfterInSeconds: 300}
}

func TestCustomAuthorizer(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "c", user: "u?x-amz-customauthorizer-name=own"})
		if info, _ := b.Client("c"); info.Principal != "ann1" {
			t.Errorf("the principal is %q", info.Principal)
		}
		p.subscribe(1, "a")
		p.write(p.publishFrame(2, 1, "a", "x"))
		p.puback(p.gets(1, "a", "x").id)
		p.want(0x40, u16(1))
		p.write(frame(0x82, u16(5), []byte{0}, str("b"), []byte{0}))
		p.want(0x90, u16(5), []byte{0, 0x87})
		p.write(p.publishFrame(2, 1, "b", "x"))
		p.want(0x40, u16(1), []byte{0x87})
		p.leave()
		// Who names no authorizer is not asked.
		p = join(t, b, connectOpts{id: "d", user: "u"})
		p.publish(1, 1, "b", "x")
		p.leave()
		p = dial(t, b)
		p.connect(connectOpts{id: "e", user: "u?x-amz-customauthorizer-name=other"})
		p.connack(0x87)
		p.closed(0)
	}, custom(t, CustomAuthorizer{Invoke: answer(good())}, nil))
}

func TestCustomAuthorizerRefuses(t *testing.T) {
	with := func(f func(*CustomAuthResult)) CustomAuthResult { r := good(); f(&r); return r }
	for what, test := range map[string]struct {
		r    CustomAuthResult
		code byte
	}{
		"not authenticated":       {with(func(r *CustomAuthResult) { r.IsAuthenticated = false }), 0x86},
		"a principal with a dash": {with(func(r *CustomAuthResult) { r.PrincipalID = "a-b" }), 0x80},
		"no principal":            {with(func(r *CustomAuthResult) { r.PrincipalID = "" }), 0x80},
		"11 policies": {with(func(r *CustomAuthResult) {
			for range 10 {
				r.PolicyDocuments = append(r.PolicyDocuments, allowA)
			}
		}), 0x80},
		"a large policy": {with(func(r *CustomAuthResult) {
			r.PolicyDocuments[0] = PolicyDocument(strings.Replace(allowA, "iot:Connect", "iot:"+strings.Repeat("C", 2048), 1))
		}), 0x80},
		"no policy at all":    {with(func(r *CustomAuthResult) { r.PolicyDocuments[0] = "{" }), 0x80},
		"a short lifetime":    {with(func(r *CustomAuthResult) { r.DisconnectAfterInSeconds = 299 }), 0x80},
		"a long refresh":      {with(func(r *CustomAuthResult) { r.RefreshAfterInSeconds = 86_401 }), 0x80},
		"no right to connect": {with(func(r *CustomAuthResult) { r.PolicyDocuments = nil }), 0x87},
	} {
		bubble(t, func(t *testing.T, b *Broker) {
			p := dial(t, b)
			p.connect(connectOpts{id: "c", user: "?x-amz-customauthorizer-name=own"})
			if k := p.read(); k.body[1] != test.code {
				t.Errorf("%s: %v, want code %#x", what, k, test.code)
			}
			p.closed(0)
		}, custom(t, CustomAuthorizer{Invoke: answer(test.r)}, nil))
	}
	bubble(t, func(t *testing.T, b *Broker) {
		p := dial(t, b)
		p.connect(connectOpts{id: "c", user: "?x-amz-customauthorizer-name=own"})
		began := time.Now()
		p.connack(0x80)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("the function got %v", took)
		}
		p.closed(0)
	}, custom(t, CustomAuthorizer{Invoke: func(ctx context.Context, _ CustomAuthRequest) (CustomAuthResult, error) {
		<-ctx.Done()
		return good(), nil
	}}, nil))
}

func TestCustomAuthorizerTimes(t *testing.T) {
	for _, test := range []struct {
		what   string
		answer func(call int, r *CustomAuthResult)
		code   byte
		calls  int
		reason DisconnectReason
	}{
		{"until the lifetime is over", func(int, *CustomAuthResult) {}, 0xA0, 3, CustomAuthTTLExpiration},
		{"until the function says no", func(n int, r *CustomAuthResult) { r.IsAuthenticated = n < 2 }, 0x87, 2, AuthError},
		{"until it is somebody else", func(n int, r *CustomAuthResult) { r.PrincipalID = []string{"", "x", "y"}[n] }, 0x87, 2, AuthError},
	} {
		calls := 0
		bubble(t, func(t *testing.T, b *Broker) {
			p := join(t, b, connectOpts{id: "c", user: "?x-amz-customauthorizer-name=own"})
			_ = p.nc.SetReadDeadline(time.Time{})
			k := make([]byte, 3)
			if _, err := p.nc.Read(k); err != nil || k[2] != test.code {
				t.Errorf("%s: %x, %v, want code %#x", test.what, k, err, test.code)
			}
			p.closed(0)
			if calls != test.calls {
				t.Errorf("%s: %d calls, want %d", test.what, calls, test.calls)
			}
			if b.Stats().Disconnects[string(test.reason)] != 1 {
				t.Errorf("%s: %v", test.what, b.Stats().Disconnects)
			}
		}, custom(t, CustomAuthorizer{Invoke: func(context.Context, CustomAuthRequest) (CustomAuthResult, error) {
			calls++
			r := good()
			r.DisconnectAfterInSeconds, r.RefreshAfterInSeconds = 800, 300
			test.answer(calls, &r)
			return r, nil
		}}, nil))
	}
}

// TestCustomAuthorizerRefresh takes a right away while the client is connected.
func TestCustomAuthorizerRefresh(t *testing.T) {
	calls := 0
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "c", user: "?x-amz-customauthorizer-name=own"})
		p.publish(1, 1, "a", "x")
		time.Sleep(301 * time.Second)
		p.write(p.publishFrame(2, 1, "a", "x"))
		p.want(0x40, u16(1), []byte{0x87})
		p.leave()
	}, custom(t, CustomAuthorizer{Invoke: func(context.Context, CustomAuthRequest) (CustomAuthResult, error) {
		calls++
		r := good()
		if calls > 1 {
			r.PolicyDocuments[0] = PolicyDocument(strings.ReplaceAll(allowA, "*/a", "*/b"))
		}
		return r, nil
	}}, nil))
}

func TestCustomAuthorizerSignature(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("tv"))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString(sig)
	asked := 0
	opt := custom(t, CustomAuthorizer{TokenKeyName: "tk", Keys: []*rsa.PublicKey{&key.PublicKey},
		Invoke: func(_ context.Context, in CustomAuthRequest) (CustomAuthResult, error) {
			asked++
			if in.Token != "tv" || !in.SignatureVerified {
				t.Errorf("the request is %+v", in)
			}
			return good(), nil
		}}, nil)
	for _, test := range []struct {
		what, user string
		code       byte
	}{
		{"signed", "u?x-amz-customauthorizer-name=own&tk=tv&x-amz-customauthorizer-signature=" + url.QueryEscape(text), 0},
		{"signed and not escaped", "u?x-amz-customauthorizer-name=own&tk=tv&x-amz-customauthorizer-signature=" + text, 0},
		{"another token", "u?x-amz-customauthorizer-name=own&tk=other&x-amz-customauthorizer-signature=" + url.QueryEscape(text), 0x86},
		{"no signature", "u?x-amz-customauthorizer-name=own&tk=tv", 0x86},
		{"no token", "u?x-amz-customauthorizer-name=own&x-amz-customauthorizer-signature=" + url.QueryEscape(text), 0x86},
	} {
		before := asked
		bubblePipes(t, func(t *testing.T, b *Broker) {
			p := dial(t, b)
			p.connect(connectOpts{id: "c", user: test.user})
			if k := p.read(); k.body[1] != test.code {
				t.Errorf("%s: %v, want code %#x", test.what, k, test.code)
			}
			p.cut()
		}, opt)
		if got := asked - before; got != map[bool]int{true: 1, false: 0}[test.code == 0] {
			t.Errorf("%s: the function was asked %d times", test.what, got)
		}
	}
}

// webConn is a pipe that came by a WebSocket.
type webConn struct {
	net.Conn
	query  string
	header map[string][]string
}

func (w webConn) Upgrade() (string, map[string][]string) { return w.query, w.header }

func TestCustomAuthorizerOverWebSocket(t *testing.T) {
	for what, conn := range map[string]webConn{
		"headers": {header: map[string][]string{"X-Amz-Customauthorizer-Name": {"own"}, "Tk": {"tv"}}},
		"query":   {query: "x-amz-customauthorizer-name=own&tk=tv", header: map[string][]string{}},
	} {
		var got CustomAuthRequest
		bubble(t, func(t *testing.T, b *Broker) {
			ours, theirs := net.Pipe()
			conn.Conn = theirs
			p := &peer{t: t, nc: ours, v: 5, done: make(chan error, 1)}
			go func() { p.done <- b.ServeConn(context.Background(), conn) }()
			p.connect(connectOpts{id: "c", user: "u"})
			p.connack(0)
			p.leave()
		}, custom(t, CustomAuthorizer{TokenKeyName: "tk", Invoke: func(_ context.Context, in CustomAuthRequest) (CustomAuthResult, error) {
			got = in
			return good(), nil
		}}, nil))
		if got.Token != "tv" || !reflect.DeepEqual(got.Protocols, []string{"http", "mqtt"}) ||
			got.ProtocolData.HTTP.QueryString != conn.query || got.ProtocolData.MQTT.ClientID != "c" {
			t.Errorf("%s: the request is %+v", what, got)
		}
	}
}

// TestCustomAuthJSON holds the shapes against those of the AWS IoT contract.
func TestCustomAuthJSON(t *testing.T) {
	in, _ := customAuthRequest(&Credentials{ClientID: "c", Username: "u", Password: []byte("pw"), Query: "q=1", Header: map[string][]string{"Accept": {"x", "y"}}})
	in.Token, in.ConnectionMetadata.ID = "t", "id"
	got, err := json.Marshal(in)
	want := `{"token":"t","signatureVerified":false,"protocols":["http","mqtt"],"protocolData":{` +
		`"http":{"headers":{"accept":"x,y"},"queryString":"q=1"},"mqtt":{"username":"u","password":"cHc=","clientId":"c"}},"connectionMetadata":{"id":"id"}}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
	var out CustomAuthResult
	text := `{"isAuthenticated":true,"principalId":"p","policyDocuments":["{\"Version\":\"2012-10-17\"}",{"Version":"2012-10-17"}],"disconnectAfterInSeconds":300,"refreshAfterInSeconds":400}`
	if err := json.Unmarshal([]byte(text), &out); err != nil || out.PolicyDocuments[0] != out.PolicyDocuments[1] || out.RefreshAfterInSeconds != 400 {
		t.Errorf("got %+v, %v", out, err)
	}
}

func TestNewCustomAuthChecks(t *testing.T) {
	_, err := NewCustomAuth(nil, &CustomAuthOptions{Default: "none"}, CustomAuthorizer{Name: "a"},
		CustomAuthorizer{Name: "b", Invoke: answer(good()), Keys: []*rsa.PublicKey{{}}})
	for _, want := range []string{`"none"`, `"a"`, `"b"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

// Authorizers that are looked up count from one connect to the next; a default among them is for clients without a
// certificate.
func TestCustomAuthLookup(t *testing.T) {
	known := map[string]CustomAuthorizer{}
	var failing error
	auth, err := NewCustomAuth(AllowAll{}, &CustomAuthOptions{Lookup: func(_ context.Context, name string) (CustomAuthorizer, error) {
		one, ok := known[name]
		switch {
		case failing != nil:
			return CustomAuthorizer{}, failing
		case !ok:
			return CustomAuthorizer{}, fmt.Errorf("%q: %w", name, ErrNotFound)
		}
		return one, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	admit := func(c Credentials) string {
		a, err := auth.Admit(t.Context(), c)
		switch {
		case errors.Is(err, ErrNotAuthorized):
			return "not authorized"
		case err != nil:
			return err.Error()
		}
		return a.Principal
	}
	named, plain := Credentials{Username: "u?x-amz-customauthorizer-name=own"}, Credentials{Username: "u"}
	certified := Credentials{Username: "u", TLS: &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}}
	for _, step := range []struct {
		what                    string
		do                      func()
		named, plain, certified string
	}{
		{"nobody knows it", func() {}, "not authorized", "u", "u"},
		{"it is made", func() { known["own"] = CustomAuthorizer{Name: "own", Invoke: answer(good())} }, "ann1", "u", "u"},
		{"it is the default", func() { known[""] = known["own"] }, "ann1", "ann1", "u"},
		{"it is gone", func() { clear(known) }, "not authorized", "u", "u"},
		{"it cannot be used", func() { known["own"] = CustomAuthorizer{Name: "own"} }, `broker: custom authorizer "own": a name and a function are needed`, "u", "u"},
		{"the store fails", func() { failing = errors.New("disk") }, "disk", "disk", "u"},
	} {
		step.do()
		if got := [3]string{admit(named), admit(plain), admit(certified)}; got != [3]string{step.named, step.plain, step.certified} {
			t.Errorf("%s: %q", step.what, got)
		}
	}
}

func TestCustomAuthTest(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var asked []CustomAuthRequest
	result := good()
	one := CustomAuthorizer{Name: "own", TokenKeyName: "t", Keys: []*rsa.PublicKey{&key.PublicKey}, Invoke: func(_ context.Context, in CustomAuthRequest) (CustomAuthResult, error) {
		asked = append(asked, in)
		return result, nil
	}}
	auth, err := NewCustomAuth(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := CustomAuthRequest{Token: "tok"}
	in.ProtocolData.MQTT = &CustomAuthMQTT{ClientID: "c"}
	out, err := auth.Test(t.Context(), one, in, "bm8=")
	if err != nil || out.IsAuthenticated || len(asked) != 0 {
		t.Errorf("a wrong signature: %+v, %v, asked %v", out, err, asked)
	}
	sum := sha256.Sum256([]byte("tok"))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	out, err = auth.Test(t.Context(), one, in, base64.StdEncoding.EncodeToString(signature))
	if err != nil || out.PrincipalID != "ann1" || len(asked) != 1 || !asked[0].SignatureVerified || !reflect.DeepEqual(asked[0].Protocols, []string{"mqtt"}) || asked[0].ConnectionMetadata.ID == "" {
		t.Errorf("%+v, %v, asked %+v", out, err, asked)
	}
	result.PrincipalID = "no-dash"
	if _, err := auth.Test(t.Context(), one, in, base64.StdEncoding.EncodeToString(signature)); err == nil {
		t.Error("an answer that no authorizer may give is taken")
	}
	result.IsAuthenticated = false
	if out, err := auth.Test(t.Context(), one, in, base64.StdEncoding.EncodeToString(signature)); err != nil || out.IsAuthenticated {
		t.Errorf("says no: %+v, %v", out, err)
	}
}

package awsauth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func is(err, want error) bool {
	return want == nil && err == nil || want != nil && errors.Is(err, want)
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// signedRequest is a good request to start from.
func signedRequest(body string) *http.Request {
	r := httptest.NewRequest("POST", "/things/a%3Ab/shadow?name=n%20m", strings.NewReader(body))
	signHeader(r, exampleKey, exampleSecret, "iotdata", hashOf(body), exampleTime, "host", "x-amz-date")
	return r
}

func TestRefusals(t *testing.T) {
	replace := func(old, with string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, with, 1))
		}
	}
	for _, tt := range []struct {
		what   string
		change func(*http.Request)
		want   error
	}{
		{"nothing changed", func(*http.Request) {}, nil},
		{"another body", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("other")) }, ErrSignature},
		{"another method", func(r *http.Request) { r.Method = "DELETE" }, ErrSignature},
		{"another path", func(r *http.Request) { r.RequestURI = "/things/a%3Ac/shadow?name=n%20m" }, ErrSignature},
		{"another query", func(r *http.Request) { r.URL.RawQuery = "name=n" }, ErrSignature},
		{"another host", func(r *http.Request) { r.Host = "evil" }, ErrSignature},
		{"another time", func(r *http.Request) { r.Header.Set("X-Amz-Date", "20150830T123601Z") }, ErrSignature},
		{"one digit", replace("Signature=", "Signature=0"), ErrIncompleteSignature},
		{"no signature", func(r *http.Request) { r.Header.Del("Authorization") }, ErrMissingToken},
		{"another scheme", func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, ErrIncompleteSignature},
		{"another algorithm", replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), ErrIncompleteSignature},
		{"no credential", replace("Credential=", "X="), ErrIncompleteSignature},
		{"a part twice", replace("Credential=", "Credential=a, Credential="), ErrIncompleteSignature},
		{"a scope too short", replace("/us-east-1/iotdata", ""), ErrIncompleteSignature},
		{"no host", replace("SignedHeaders=host;", "SignedHeaders="), ErrIncompleteSignature},
		{"headers not sorted", replace("host;x-amz-date", "x-amz-date;host"), ErrIncompleteSignature},
		{"headers in capitals", replace("host;x-amz-date", "Host;host"), ErrIncompleteSignature},
		{"no date", func(r *http.Request) { r.Header.Del("X-Amz-Date") }, ErrIncompleteSignature},
		{"a header put in", func(r *http.Request) { r.Header.Set("X-Amz-Tagging", "a=b") }, ErrIncompleteSignature},
		{"a header that proxies put in", func(r *http.Request) { r.Header.Set("X-Forwarded-For", "1.2.3.4") }, nil},
		{"an unknown key", replace(exampleKey, "NOBODY"), ErrUnknownKey},
		{"another service", replace("iotdata", "ec2"), ErrScope},
		{"another day than the date", replace("20150830", "20150829"), ErrDate},
		{"a query that is none", func(r *http.Request) { r.URL.RawQuery = "a=%zz" }, ErrIncompleteSignature},
		{"both forms", func(r *http.Request) { r.URL.RawQuery += "&X-Amz-Algorithm=x" }, ErrIncompleteSignature},
		{"a token nobody gave", func(r *http.Request) {
			r.Header.Set("X-Amz-Security-Token", "x")
			signHeader(r, exampleKey, exampleSecret, "iotdata", hashOf("body"), exampleTime, "host", "x-amz-date", "x-amz-security-token")
		}, ErrUnknownKey},
		{"a hash that is not the body's", func(r *http.Request) {
			r.Header.Set("X-Amz-Content-Sha256", hashOf("other"))
			signHeader(r, exampleKey, exampleSecret, "iotdata", hashOf("other"), exampleTime, "host", "x-amz-content-sha256", "x-amz-date")
		}, ErrSignature},
		{"an unsigned payload", func(r *http.Request) {
			r.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
			signHeader(r, exampleKey, exampleSecret, "iotdata", unsignedPayload, exampleTime, "host", "x-amz-content-sha256", "x-amz-date")
		}, ErrPayload},
		{"a payload in chunks", func(r *http.Request) {
			r.Header.Set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
			signHeader(r, exampleKey, exampleSecret, "iotdata", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", exampleTime, "host", "x-amz-content-sha256", "x-amz-date")
		}, ErrPayload},
		{"a large body", func(r *http.Request) { r.ContentLength = 1<<20 + 1 }, ErrTooLarge},
		{"a large body of unknown length", func(r *http.Request) {
			r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader(strings.Repeat("x", 1<<20+1)))
		}, ErrTooLarge},
		{"a body that breaks off", func(r *http.Request) { r.Body = io.NopCloser(io.MultiReader(strings.NewReader("bo"), broken{})) }, ErrBody},
		{"a date in the Date header", func(r *http.Request) {
			r.Header.Set("Date", exampleTime.Format(http.TimeFormat))
			signHeader(r, exampleKey, exampleSecret, "iotdata", hashOf("body"), exampleTime, "date", "host")
			r.Header.Del("X-Amz-Date")
		}, nil},
	} {
		r := signedRequest("body")
		tt.change(r)
		a := example(t, Options{})
		w := httptest.NewRecorder()
		var body []byte
		a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ = io.ReadAll(r.Body)
			if Principal(r.Context()) != "ann" {
				t.Errorf("%s: principal %q", tt.what, Principal(r.Context()))
			}
		})).ServeHTTP(w, r)
		status, name, _ := Describe(tt.want)
		var answer struct{ Message string }
		switch {
		case tt.want == nil && (w.Code != 200 || string(body) != "body" || a.Stats() != Stats{Signed: 1}):
			t.Errorf("%s: %d %s %q, %+v", tt.what, w.Code, w.Body, body, a.Stats())
		case tt.want != nil && (w.Code != status || w.Header().Get("x-amzn-ErrorType") != name || a.Stats() != Stats{Refused: 1}):
			t.Errorf("%s: %d %s %s, want %d %s", tt.what, w.Code, w.Header().Get("x-amzn-ErrorType"), w.Body, status, name)
		case tt.want != nil && (json.Unmarshal(w.Body.Bytes(), &answer) != nil || answer.Message == "" || body != nil):
			t.Errorf("%s: body %s", tt.what, w.Body)
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestClock(t *testing.T) {
	for after, want := range map[time.Duration]error{
		0: nil, 5 * time.Minute: nil, -5 * time.Minute: nil,
		5*time.Minute + time.Second: ErrDate, -5*time.Minute - time.Second: ErrDate, 24 * time.Hour: ErrDate,
	} {
		a := example(t, Options{Now: func() time.Time { return exampleTime.Add(after) }})
		if _, err := a.Verify(httptest.NewRecorder(), signedRequest("")); !is(err, want) {
			t.Errorf("after %v: %v", after, err)
		}
	}
}

func TestSessionKeys(t *testing.T) {
	for _, tt := range []struct {
		token string
		after time.Duration
		want  error
	}{{"tok/en=", 0, nil}, {"", 0, ErrUnknownKey}, {"tok/en", 0, ErrUnknownKey}, {"tok/en=", time.Hour, ErrExpiredKey}} {
		at := exampleTime.Add(tt.after)
		r := httptest.NewRequest("GET", "/", nil)
		headers := []string{"host", "x-amz-date"}
		if tt.token != "" {
			r.Header.Set("X-Amz-Security-Token", tt.token)
			headers = append(headers, "x-amz-security-token")
		}
		signHeader(r, "SESSION", exampleSecret, "iotdata", hashOf(""), at, headers...)
		id, err := example(t, Options{Now: func() time.Time { return at }}).Verify(httptest.NewRecorder(), r)
		if !is(err, tt.want) || err == nil && id.Principal != "eve" {
			t.Errorf("token %q after %v: %+v, %v", tt.token, tt.after, id, err)
		}
	}
}

// presign makes the URL of a WebSocket as device SDKs do: the session token is
// put in after signing, or is part of what is signed.
func presign(path, keyID, token string, at time.Time, tokenSigned bool, extra string) string {
	s := &signature{keyID: keyID, day: at.Format("20060102"), region: "eu-west-1", service: "iotdata", time: at, headers: []string{"host"}, presigned: true}
	raw := "X-Amz-Algorithm=" + algorithm + "&X-Amz-Credential=" + escape(keyID+"/"+s.scope(), false) + "&X-Amz-Date=" + at.Format(basicTime) + "&X-Amz-SignedHeaders=host" + extra
	withToken := raw
	if token != "" {
		withToken += "&X-Amz-Security-Token=" + escape(token, false)
	}
	s.query, _ = parseQuery(withToken)
	r := httptest.NewRequest("GET", path+"?"+withToken, nil)
	mac := sign(signingKey(exampleSecret, s), s, canonical(r, s, false, tokenSigned)+hashOf(""))
	return path + "?" + withToken + "&X-Amz-Signature=" + hex.EncodeToString(mac)
}

func TestPresigned(t *testing.T) {
	for _, tt := range []struct {
		what, url string
		after     time.Duration
		want      error
	}{
		{"plain", presign("/mqtt", exampleKey, "", exampleTime, false, ""), 0, nil},
		{"for five minutes where it does not say", presign("/mqtt", exampleKey, "", exampleTime, false, ""), 6 * time.Minute, ErrDate},
		{"for as long as it says", presign("/mqtt", exampleKey, "", exampleTime, false, "&X-Amz-Expires=3600"), time.Hour, nil},
		{"and no longer", presign("/mqtt", exampleKey, "", exampleTime, false, "&X-Amz-Expires=3600"), time.Hour + time.Second, ErrDate},
		{"for no longer than allowed", presign("/mqtt", exampleKey, "", exampleTime, false, "&X-Amz-Expires=604801"), 0, ErrDate},
		{"for a time", presign("/mqtt", exampleKey, "", exampleTime, false, "&X-Amz-Expires=-1"), 0, ErrIncompleteSignature},
		{"with the token behind the signature", presign("/mqtt", "SESSION", "tok/en=", exampleTime, false, ""), 0, nil},
		{"with the token signed", presign("/mqtt", "SESSION", "tok/en=", exampleTime, true, ""), 0, nil},
		{"with another token", presign("/mqtt", "SESSION", "tok", exampleTime, false, ""), 0, ErrUnknownKey},
		{"with a date twice", presign("/mqtt", exampleKey, "", exampleTime, false, "") + "&X-Amz-Date=x", 0, ErrIncompleteSignature},
		{"with something added", presign("/mqtt", exampleKey, "", exampleTime, false, "") + "&a=b", 0, ErrSignature},
		{"without a part", "/mqtt?X-Amz-Algorithm=AWS4-HMAC-SHA256", 0, ErrIncompleteSignature},
		{"with another algorithm", strings.Replace(presign("/mqtt", exampleKey, "", exampleTime, false, ""), "HMAC", "X", 1), 0, ErrIncompleteSignature},
	} {
		a := example(t, Options{Now: func() time.Time { return exampleTime.Add(tt.after) }})
		if _, err := a.Verify(httptest.NewRecorder(), httptest.NewRequest("GET", tt.url, nil)); !is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.want)
		}
	}
}

// SDKs that remove empty segments and dots before they sign, and those that do not.
func TestPathsOfClients(t *testing.T) {
	for _, normalize := range []bool{false, true} {
		r := httptest.NewRequest("POST", "/topics//a/./b%2Fc/", nil)
		at := exampleTime
		r.Header.Set("X-Amz-Date", at.Format(basicTime))
		s := &signature{day: "20150830", region: "r", service: "iotdata", time: at, headers: []string{"host", "x-amz-date"}}
		s.mac = sign(signingKey(exampleSecret, s), s, canonical(r, s, normalize, true)+hashOf(""))
		r.Header.Set("Authorization", algorithm+" Credential="+exampleKey+"/"+s.scope()+", SignedHeaders=host;x-amz-date, Signature="+hex.EncodeToString(s.mac))
		if _, err := example(t, Options{}).Verify(httptest.NewRecorder(), r); err != nil {
			t.Errorf("normalized %v: %v", normalize, err)
		}
	}
	for path, want := range map[string]string{"/": "/", "//": "/", "/a/../b": "/b", "/../a": "/a", "/a/.": "/a", "/a//b/": "/a/b/", "/a%2Fb": "/a%252Fb"} {
		if got := canonicalPath(path, true); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

func TestUnsignedPayload(t *testing.T) {
	r := httptest.NewRequest("POST", "/topics/a", strings.NewReader("body"))
	r.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
	signHeader(r, exampleKey, exampleSecret, "iotdata", unsignedPayload, exampleTime, "host", "x-amz-content-sha256", "x-amz-date")
	if _, err := example(t, Options{UnsignedPayload: true, MaxBodyBytes: 4}).Verify(httptest.NewRecorder(), r); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r.Body); string(b) != "body" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
}

func TestCertificates(t *testing.T) {
	good, revoked := &x509.Certificate{Raw: []byte("good")}, errors.New("revoked")
	a, err := New(nil, &Options{Certificate: func(_ context.Context, c *x509.Certificate) (string, error) {
		if !bytes.Equal(c.Raw, good.Raw) {
			return "", revoked
		}
		return "device-1", nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		tls  *tls.ConnectionState
		want error
	}{
		{nil, ErrMissingToken}, {&tls.ConnectionState{}, ErrMissingToken},
		{&tls.ConnectionState{PeerCertificates: []*x509.Certificate{good}}, nil},
		{&tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: []byte("bad")}}}, ErrCertificate},
	} {
		r := httptest.NewRequest("GET", "/things/t/shadow?odd=%zz", nil)
		r.TLS = tt.tls
		id, err := a.Verify(httptest.NewRecorder(), r)
		if !is(err, tt.want) || err == nil && (id.Principal != "device-1" || id.Certificate != good || id.AccessKeyID != "") {
			t.Errorf("%+v: %+v, %v", tt.tls, id, err)
		}
	}
	// A signature counts more than the certificate that came with it.
	r := signedRequest("")
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{good}}
	if _, err := a.Verify(httptest.NewRecorder(), r); !is(err, ErrDate) && !is(err, ErrUnknownKey) {
		t.Errorf("a signature with a certificate: %v", err)
	}
}

type failing struct{}

func (failing) Key(context.Context, string) (Key, error) { return Key{}, errors.New("disk on fire") }

func TestKeysThatFail(t *testing.T) {
	a, err := New(failing{}, &Options{Now: func() time.Time { return exampleTime }})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	a.Handler(http.NotFoundHandler()).ServeHTTP(w, signedRequest(""))
	if w.Code != 500 || strings.Contains(w.Body.String(), "fire") || (a.Stats() != Stats{Failed: 1}) {
		t.Errorf("%d %s, %+v", w.Code, w.Body, a.Stats())
	}
}

func TestOptions(t *testing.T) {
	if _, err := New(nil, nil); err == nil {
		t.Error("neither keys nor certificates")
	}
	if _, err := New(StaticKeys{}, &Options{Skew: -1}); err == nil {
		t.Error("a negative skew")
	}
	a := example(t, Options{Region: "eu-west-1"})
	if _, err := a.Verify(httptest.NewRecorder(), signedRequest("")); !is(err, ErrScope) {
		t.Errorf("another region: %v", err)
	}
	k := Key{Secret: "geheim", Principal: "ann"}
	if text := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); strings.Contains(text, "geheim") {
		t.Errorf("a secret shows: %s", text)
	}
}

// TestErrorTable walks all sentinels: a new one fails until it has a row.
func TestErrorTable(t *testing.T) {
	syntax, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(syntax, func(node ast.Node) bool {
		if v, ok := node.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Err") {
			n++
		}
		return true
	})
	if n != len(refusals) {
		t.Errorf("%d sentinels, %d rows", n, len(refusals))
	}
	for _, row := range refusals {
		if status, name, text := Describe(fmt.Errorf("wrapped: %w", row.err)); status != row.status || name != row.name || text == "" {
			t.Errorf("%v: %d %s %q", row.err, status, name, text)
		}
	}
}

// No request makes the verifier panic, and none is accepted that was not signed.
func FuzzVerify(f *testing.F) {
	good := signedRequest("body")
	f.Add(good.Header.Get("Authorization"), "20150830T123600Z", "name=n", "/a")
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request,SignedHeaders=host,Signature=00", "x", "", "/")
	f.Add("", "", presign("/mqtt", exampleKey, "", exampleTime, false, "")[len("/mqtt?"):], "/mqtt/../x")
	f.Fuzz(func(t *testing.T, authorization, date, query, path string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Authorization"], r.Header["X-Amz-Date"] = []string{authorization}, []string{date}
		r.URL.RawQuery, r.RequestURI = query, path
		a, err := New(StaticKeys{"other": {Secret: "s"}}, &Options{Now: func() time.Time { return exampleTime }})
		if err != nil {
			t.Fatal(err)
		}
		if id, err := a.Verify(httptest.NewRecorder(), r); err == nil {
			t.Errorf("accepted as %+v", id)
		} else if status, name, text := Describe(err); status >= 500 || name == "" || len(text) > 400 {
			t.Errorf("%v: %d %s %q", err, status, name, text)
		}
		if p := canonicalPath(path, true); !strings.HasPrefix(p, "/") || strings.Contains(p, "//") {
			t.Errorf("path %q became %q", path, p)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	a, err := New(StaticKeys{exampleKey: {Secret: exampleSecret}}, &Options{Now: func() time.Time { return exampleTime }})
	if err != nil {
		b.Fatal(err)
	}
	r := signedRequest("body")
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader("body"))
		if _, err := a.Verify(nil, r); err != nil {
			b.Fatal(err)
		}
	}
}

package awsauth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

var (
	signedAt = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	keys     = StaticKeys{
		"AKIDEXAMPLE": {Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Principal: "alice"},
		"ASIASESSION": {Secret: "secret", SessionToken: "token/+=", Principal: "bob"},
		"AKIDOLD":     {Secret: "secret", Expires: signedAt.Add(-time.Second), Principal: "old"},
	}
)

func authenticator(t *testing.T, change func(*Options)) *Authenticator {
	t.Helper()
	o := &Options{Now: func() time.Time { return signedAt.Add(time.Minute) }}
	if change != nil {
		change(o)
	}
	a, err := New(keys, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The example of the public documentation of Signature Version 4, with the
// signature printed there.
func TestDocumentedExample(t *testing.T) {
	r := httptest.NewRequest("GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", nil)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	r.Header.Set("X-Amz-Date", "20150830T123600Z")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, "+
		"Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7")
	id, err := authenticator(t, func(o *Options) { o.Services = []string{"iam"} }).Verify(httptest.NewRecorder(), r)
	if err != nil || id.Principal != "alice" || id.AccessKeyID != "AKIDEXAMPLE" || id.Service != "iam" || id.Region != "us-east-1" {
		t.Errorf("%+v, %v", id, err)
	}
}

// signed is a request as a client signs it; it shares only the primitives with
// what is tested.
type signed struct {
	method, target, body string
	key, secret, token   string
	service              string
	at                   time.Time
	header               map[string]string
	presigned            bool
	expires              int
	tokenAfter           bool // put in after signing, as device SDKs do
	hash                 string
}

func (s signed) request() *http.Request {
	if s.key == "" {
		s.key, s.secret = "AKIDEXAMPLE", keys["AKIDEXAMPLE"].Secret
	}
	if s.service == "" {
		s.service = "iot"
	}
	if s.at.IsZero() {
		s.at = signedAt
	}
	sum := sha256.Sum256([]byte(s.body))
	hash := hex.EncodeToString(sum[:])
	target := s.target
	sig := &signature{day: s.at.Format("20060102"), region: "us-east-1", service: s.service, time: s.at}
	credential := s.key + "/" + sig.scope()
	if s.presigned {
		q := "X-Amz-Algorithm=" + algorithm + "&X-Amz-Credential=" + url.QueryEscape(credential) + "&X-Amz-Date=" + s.at.Format(basicTime) + "&X-Amz-SignedHeaders=host"
		if s.expires > 0 {
			q += fmt.Sprintf("&X-Amz-Expires=%d", s.expires)
		}
		if s.token != "" && !s.tokenAfter {
			q += "&X-Amz-Security-Token=" + url.QueryEscape(s.token)
		}
		target += "?" + q
	}
	r := httptest.NewRequest(s.method, target, strings.NewReader(s.body))
	for name, value := range s.header {
		r.Header.Set(name, value)
	}
	sig.headers = []string{"host"}
	if !s.presigned {
		r.Header.Set("X-Amz-Date", s.at.Format(basicTime))
		sig.headers = append(sig.headers, "x-amz-date")
		if s.token != "" {
			r.Header.Set("X-Amz-Security-Token", s.token)
			sig.headers = append(sig.headers, "x-amz-security-token")
		}
		if s.hash != "" {
			hash = s.hash
			r.Header.Set("X-Amz-Content-Sha256", s.hash)
			sig.headers = []string{"host", "x-amz-content-sha256", "x-amz-date"}
		}
	}
	sig.query, _ = parseQuery(r.URL.RawQuery)
	sig.presigned = s.presigned
	mac := hex.EncodeToString(sign(signingKey(s.secret, sig), sig, canonical(r, sig, false, true)+hash))
	if s.presigned {
		target += "&X-Amz-Signature=" + mac
		if s.tokenAfter {
			target += "&X-Amz-Security-Token=" + url.QueryEscape(s.token)
		}
		again := httptest.NewRequest(s.method, target, strings.NewReader(s.body))
		again.Header = r.Header
		return again
	}
	r.Header.Set("Authorization", fmt.Sprintf("%s Credential=%s, SignedHeaders=%s, Signature=%s", algorithm, credential, strings.Join(sig.headers, ";"), mac))
	return r
}

func TestVerify(t *testing.T) {
	post := signed{method: "POST", target: "http://h:8080/things/a%2Fb?x=1&x=0&y=%20", body: `{"a":1}`}
	wss := signed{method: "GET", target: "http://h/mqtt", service: "iotdevicegateway", presigned: true}
	with := func(s signed, f func(*signed)) *http.Request { f(&s); return s.request() }
	change := func(s signed, f func(*http.Request)) *http.Request {
		r := s.request()
		f(r)
		return r
	}
	for name, tt := range map[string]struct {
		r    *http.Request
		want error
	}{
		"header":             {post.request(), nil},
		"empty body":         {with(post, func(s *signed) { s.body = "" }), nil},
		"clock of 4 minutes": {with(post, func(s *signed) { s.at = signedAt.Add(-3 * time.Minute) }), nil},
		"session":            {with(post, func(s *signed) { s.key, s.secret, s.token = "ASIASESSION", "secret", "token/+=" }), nil},
		"presigned":          {wss.request(), nil},
		"presigned for long": {with(wss, func(s *signed) { s.expires, s.at = 3600, signedAt.Add(-50*time.Minute) }), nil},
		"presigned session":  {with(wss, func(s *signed) { s.key, s.secret, s.token = "ASIASESSION", "secret", "token/+=" }), nil},
		"token put in after": {with(wss, func(s *signed) { s.key, s.secret, s.token, s.tokenAfter = "ASIASESSION", "secret", "token/+=", true }), nil},

		"other method":       {change(post, func(r *http.Request) { r.Method = "PUT" }), ErrSignature},
		"other path":         {change(post, func(r *http.Request) { r.RequestURI = "/things/a%2Fc?x=1&x=0&y=%20" }), ErrSignature},
		"other query":        {change(post, func(r *http.Request) { r.URL.RawQuery = "x=1&x=0&y=%21" }), ErrSignature},
		"one more parameter": {change(post, func(r *http.Request) { r.URL.RawQuery += "&z=1" }), ErrSignature},
		"other host":         {change(post, func(r *http.Request) { r.Host = "other:8080" }), ErrSignature},
		"other body":         {change(post, func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"a":2}`)) }), ErrSignature},
		"other secret":       {with(post, func(s *signed) { s.key, s.secret = "AKIDEXAMPLE", "guess" }), ErrSignature},
		"other date":         {change(post, func(r *http.Request) { r.Header.Set("X-Amz-Date", "20150830T123601Z") }), ErrSignature},
		"date of a day ago":  {with(post, func(s *signed) { s.at = signedAt.AddDate(0, 0, -1) }), ErrDate},
		"clock of 6 minutes": {with(post, func(s *signed) { s.at = signedAt.Add(-6 * time.Minute) }), ErrDate},
		"from the future":    {with(post, func(s *signed) { s.at = signedAt.Add(7 * time.Minute) }), ErrDate},
		"scope of a day ago": {change(post, func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/20150830/", "/20150829/", 1))
		}), ErrDate},
		"presigned, too late": {with(wss, func(s *signed) { s.expires, s.at = 60, signedAt.Add(-10*time.Minute) }), ErrDate},
		"presigned, too long": {with(wss, func(s *signed) { s.expires = 8 * 24 * 3600 }), ErrDate},
		"presigned, tampered": {change(wss, func(r *http.Request) { r.URL.RawQuery += "&x=1" }), ErrSignature},
		"unknown key":         {with(post, func(s *signed) { s.key, s.secret = "AKIDNOBODY", "x" }), ErrUnknownKey},
		"expired key":         {with(post, func(s *signed) { s.key, s.secret = "AKIDOLD", "secret" }), ErrExpiredKey},
		"no session token":    {with(post, func(s *signed) { s.key, s.secret = "ASIASESSION", "secret" }), ErrUnknownKey},
		"wrong session token": {with(post, func(s *signed) { s.key, s.secret, s.token = "ASIASESSION", "secret", "x" }), ErrUnknownKey},
		"other service":       {with(post, func(s *signed) { s.service = "s3" }), ErrScope},
		"unsigned header":     {change(post, func(r *http.Request) { r.Header.Set("X-Amz-Principal", "x") }), ErrIncompleteSignature},
		"no signature":        {httptest.NewRequest("GET", "/things", nil), ErrMissingToken},
		"bearer":              {change(post, func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }), ErrIncompleteSignature},
		"parts missing": {change(post, func(r *http.Request) {
			r.Header.Set("Authorization", algorithm+" Credential=a/20150830/r/iot/aws4_request")
		}), ErrIncompleteSignature},
		"streamed":            {with(post, func(s *signed) { s.hash = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" }), ErrPayload},
		"unsigned payload":    {with(post, func(s *signed) { s.hash = unsignedPayload }), ErrPayload},
		"claims another hash": {with(post, func(s *signed) { s.hash = strings.Repeat("0", 64) }), ErrSignature},
		"too large":           {with(post, func(s *signed) { s.body = strings.Repeat("x", 1<<20+1) }), ErrTooLarge},
		"both forms":          {change(wss, func(r *http.Request) { r.Header.Set("Authorization", algorithm+" x") }), ErrIncompleteSignature},
		"signature twice":     {change(wss, func(r *http.Request) { r.URL.RawQuery += "&X-Amz-Signature=00" }), ErrIncompleteSignature},
	} {
		t.Run(name, func(t *testing.T) {
			a := authenticator(t, nil)
			body := ""
			id, err := a.Verify(httptest.NewRecorder(), tt.r)
			if !errors.Is(err, tt.want) || (err == nil) != (id.Principal != "") {
				t.Fatalf("%+v, %v, want %v", id, err, tt.want)
			}
			if err == nil && tt.r.Method == "POST" {
				b, err := io.ReadAll(tt.r.Body)
				if body = string(b); err != nil || body != `{"a":1}` && body != "" {
					t.Errorf("the handler reads %q, %v", body, err)
				}
			}
			if s := a.Stats(); (err == nil) != (s.Signed == 1) || (err != nil) != (s.Refused == 1) {
				t.Errorf("%+v", s)
			}
		})
	}
}

// A body without its hash is let through where that is allowed, and bounded all the same.
func TestUnsignedPayload(t *testing.T) {
	a := authenticator(t, func(o *Options) { o.UnsignedPayload, o.MaxBodyBytes = true, 4 })
	r := signed{method: "POST", target: "http://h/x", body: "1234", hash: unsignedPayload}.request()
	if _, err := a.Verify(httptest.NewRecorder(), r); err != nil {
		t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader([]byte("12345")))
	r.ContentLength = -1
	if _, err := a.Verify(httptest.NewRecorder(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r.Body); err == nil {
		t.Error("more than MaxBodyBytes was read")
	}
}

func TestCertificate(t *testing.T) {
	cert := &x509.Certificate{}
	revoked := errors.New("revoked")
	a := authenticator(t, func(o *Options) {
		o.Certificate = func(_ context.Context, c *x509.Certificate) (string, error) {
			if c != cert {
				return "", revoked
			}
			return "device", nil
		}
	})
	request := func(c *x509.Certificate) *http.Request {
		r := httptest.NewRequest("GET", "/things/x/shadow", nil)
		r.TLS = &tls.ConnectionState{}
		if c != nil {
			r.TLS.PeerCertificates = []*x509.Certificate{c}
		}
		return r
	}
	if id, err := a.Verify(httptest.NewRecorder(), request(cert)); err != nil || id.Principal != "device" || id.Certificate != cert {
		t.Errorf("%+v, %v", id, err)
	}
	if _, err := a.Verify(httptest.NewRecorder(), request(&x509.Certificate{})); !errors.Is(err, ErrCertificate) || !errors.Is(err, revoked) {
		t.Error(err)
	}
	if _, err := a.Verify(httptest.NewRecorder(), request(nil)); !errors.Is(err, ErrMissingToken) {
		t.Error(err)
	}
}

// The handler puts the identity into the context, and refuses in the shape that AWS clients read.
func TestHandler(t *testing.T) {
	a := authenticator(t, nil)
	h := a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, Principal(r.Context())) }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, signed{method: "GET", target: "http://h/things"}.request())
	if w.Code != 200 || w.Body.String() != "alice" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/things", nil))
	if w.Code != 403 || w.Header().Get("x-amzn-ErrorType") != "MissingAuthenticationTokenException" || w.Body.String() != `{"message":"Missing Authentication Token"}` {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

// Each sentinel has an answer of its own, and nothing else has one.
func TestDescribe(t *testing.T) {
	for _, err := range []error{ErrMissingToken, ErrIncompleteSignature, ErrUnknownKey, ErrExpiredKey, ErrSignature, ErrDate, ErrScope, ErrPayload, ErrTooLarge, ErrBody, ErrCertificate} {
		if status, name, text := Describe(fmt.Errorf("x: %w", err)); status >= 500 || name == "" || text == "" {
			t.Errorf("%v: %d %s %s", err, status, name, text)
		}
	}
	if status, name, text := Describe(errors.New("disk /dev/sda")); status != 500 || name != "InternalFailureException" || strings.Contains(text, "disk") {
		t.Errorf("%d %s %s", status, name, text)
	}
}

func TestSecretsStayOutOfLogs(t *testing.T) {
	for _, text := range []string{fmt.Sprint(keys["ASIASESSION"]), fmt.Sprintf("%+v %#v", keys["ASIASESSION"], keys["ASIASESSION"])} {
		if strings.Contains(text, "secret") || strings.Contains(text, "token") {
			t.Error(text)
		}
	}
}

// Whatever stands in the header and the query: no panic, and no way in.
func FuzzVerify(f *testing.F) {
	good := signed{method: "GET", target: "http://h/x"}.request()
	f.Add(good.Header.Get("Authorization"), good.Header.Get("X-Amz-Date"), "a=b")
	presigned := signed{method: "GET", target: "http://h/x", presigned: true}.request()
	f.Add("", "", presigned.URL.RawQuery)
	f.Fuzz(func(t *testing.T, authorization, date, query string) {
		a, err := New(StaticKeys{"AKIDEXAMPLE": {Secret: "another", Principal: "x"}}, &Options{Now: func() time.Time { return signedAt }})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/x", nil)
		r.URL.RawQuery = query
		r.Header["Authorization"], r.Header["X-Amz-Date"] = []string{authorization}, []string{date}
		id, err := a.Verify(httptest.NewRecorder(), r)
		if err == nil {
			t.Fatalf("let in as %+v", id)
		}
		if status, _, _ := Describe(err); status >= 500 {
			t.Fatalf("untyped error %v", err)
		}
	})
}

package awsauth

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// What Sign signs is what Verify accepts, over a connection and as the key's principal.
func TestSign(t *testing.T) {
	a := example(t, Options{})
	var who, body string
	server := httptest.NewServer(a.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		who, body = Principal(r.Context()), string(text)
	})))
	defer server.Close()
	for _, tt := range []struct {
		target, body, keyID string
		key                 Key
		headers             [][2]string
		want                string
	}{
		{"/", "", exampleKey, Key{Secret: exampleSecret}, nil, "ann"},
		{"/in/a%2Fb//c/../d%20e?z=1&a=2&a=1&e=%20+%2B", `{"t":31}`, exampleKey, Key{Secret: exampleSecret}, [][2]string{{"Content-Type", "application/json"}, {"X-Other", "x"}}, "ann"},
		{"/in", "x", exampleKey, Key{Secret: exampleSecret}, [][2]string{{"X-Amz-Meta", " a   b "}, {"X-Amz-Meta", "c"}}, "ann"},
		{"/in", "x", "SESSION", Key{Secret: exampleSecret, SessionToken: "tok/en="}, [][2]string{{"X-Amz-Security-Token", "another"}}, "eve"},
	} {
		r, err := http.NewRequest("POST", server.URL+tt.target, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range tt.headers {
			r.Header.Add(h[0], h[1])
		}
		if err := Sign(r, []byte(tt.body), tt.keyID, tt.key, "us-east-1", "service", exampleTime.In(time.FixedZone("", 7200))); err != nil {
			t.Fatal(err)
		}
		who, body = "", ""
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != 200 || who != tt.want || body != tt.body {
			t.Errorf("%s: %s %s, from %q with %q", tt.target, answer.Status, text, who, body)
		}
	}
}

// What a request says of its signature, of the time and key of the published vectors.
func TestSignHeaders(t *testing.T) {
	r, err := http.NewRequest("POST", "http://example.amazonaws.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Sign(r, nil, exampleKey, Key{Secret: exampleSecret}, "us-east-1", "service", exampleTime); err != nil {
		t.Fatal(err)
	}
	want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature="
	if got := r.Header.Get("Authorization"); !strings.HasPrefix(got, want) || len(got) != len(want)+64 {
		t.Errorf("got %s", got)
	}
	if r.Header.Get("X-Amz-Content-Sha256") != hashOf("") || r.Header.Get("X-Amz-Date") != "20150830T123600Z" {
		t.Errorf("headers %v", r.Header)
	}
}

func TestSignRefuses(t *testing.T) {
	good := Key{Secret: "s"}
	for _, tt := range []struct {
		id              string
		key             Key
		region, service string
		query           string
	}{
		{"", good, "r", "s", ""}, {"k", Key{}, "r", "s", ""}, {"k", good, "", "s", ""}, {"k", good, "r", "", ""},
		{"k", good, "a/b", "s", ""}, {"k", good, "r", "a, b", ""}, {"k", good, "r", "s", "a=%zz"},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.URL.RawQuery = tt.query
		if err := Sign(r, nil, tt.id, tt.key, tt.region, tt.service, exampleTime); err == nil || r.Header.Get("Authorization") != "" {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

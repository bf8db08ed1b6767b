package awsauth

import (
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The published examples of Signature Version 4: the test suite that AWS
// describes, and the worked examples of its documentation.
const (
	exampleKey    = "AKIDEXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

var exampleTime = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

func example(t *testing.T, opts Options) *Authenticator {
	t.Helper()
	opts.Services = []string{"service", "iam", "s3", "iotdata"}
	if opts.Now == nil {
		opts.Now = func() time.Time { return exampleTime }
	}
	a, err := New(StaticKeys{
		exampleKey:             {Secret: exampleSecret, Principal: "ann"},
		"AKIAIOSFODNN7EXAMPLE": {Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Principal: "bob"},
		"SESSION":              {Secret: exampleSecret, SessionToken: "tok/en=", Principal: "eve", Expires: exampleTime.Add(time.Hour)},
	}, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestPublishedVectors(t *testing.T) {
	for _, tt := range []struct {
		what, method, target, body string
		headers                    [][2]string
		service, signed, signature string
	}{
		{"get-vanilla", "GET", "/", "", nil, "service", "host;x-amz-date",
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", "", nil, "service", "host;x-amz-date",
			"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		{"get-header-value-trim", "GET", "/", "", [][2]string{{"My-Header1", " value1"}, {"My-Header2", ` "a   b   c"`}},
			"service", "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
		{"post-vanilla", "POST", "/", "", nil, "service", "host;x-amz-date",
			"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		{"post-x-www-form-urlencoded", "POST", "/", "Param1=value1", [][2]string{{"Content-Type", "application/x-www-form-urlencoded"}},
			"service", "content-type;host;x-amz-date", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
		{"the documentation's ListUsers", "GET", "/?Action=ListUsers&Version=2010-05-08", "",
			[][2]string{{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}},
			"iam", "content-type;host;x-amz-date", "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"},
	} {
		r := httptest.NewRequest(tt.method, tt.target, strings.NewReader(tt.body))
		if r.Host = "example.amazonaws.com"; tt.service == "iam" {
			r.Host = "iam.amazonaws.com"
		}
		r.Header.Set("X-Amz-Date", "20150830T123600Z")
		for _, h := range tt.headers {
			r.Header.Set(h[0], h[1])
		}
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+exampleKey+"/20150830/us-east-1/"+tt.service+
			"/aws4_request, SignedHeaders="+tt.signed+", Signature="+tt.signature)
		id, err := example(t, Options{}).Verify(httptest.NewRecorder(), r)
		if err != nil || id.Principal != "ann" || id.Service != tt.service || id.Region != "us-east-1" || id.AccessKeyID != exampleKey {
			t.Errorf("%s: %+v, %v", tt.what, id, err)
		}
	}
}

// The signing key of the documentation's example.
func TestSigningKey(t *testing.T) {
	key := signingKey(exampleSecret, &signature{day: "20150830", region: "us-east-1", service: "iam"})
	if got := hex.EncodeToString(key); got != "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9" {
		t.Errorf("got %s", got)
	}
}

// The presigned URL of the documentation of S3, whose payload is not signed.
func TestPresignedVector(t *testing.T) {
	at := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	url := "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
		"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
	for after, want := range map[time.Duration]error{0: nil, 24 * time.Hour: nil, 24*time.Hour + time.Second: ErrDate, -6 * time.Minute: ErrDate} {
		r := httptest.NewRequest("GET", url, nil)
		r.Host = "examplebucket.s3.amazonaws.com"
		r.Header.Set("X-Amz-Content-Sha256", unsignedPayload)
		// The header stands for what S3 assumes of presigned URLs.
		a := example(t, Options{UnsignedPayload: true, Now: func() time.Time { return at.Add(after) }})
		s, err := parseSignature(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.checkTime(s); !is(err, want) {
			t.Errorf("after %v: %v, want %v", after, err, want)
		}
		if key := signingKey("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", s); !matches(r, s, key, unsignedPayload) {
			t.Errorf("after %v: the signature does not match", after)
		}
	}
}

// signHeader signs r as a client does.
func signHeader(r *http.Request, keyID, secret, service, hash string, at time.Time, headers ...string) {
	r.Header.Set("X-Amz-Date", at.Format(basicTime))
	s := &signature{keyID: keyID, day: at.Format("20060102"), region: "us-east-1", service: service, time: at, headers: headers}
	s.query, _ = parseQuery(r.URL.RawQuery)
	mac := sign(signingKey(secret, s), s, canonical(r, s, false, true)+hash)
	r.Header.Set("Authorization", algorithm+" Credential="+keyID+"/"+s.scope()+", SignedHeaders="+strings.Join(headers, ";")+", Signature="+hex.EncodeToString(mac))
}

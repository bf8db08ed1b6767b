package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A hostile is a request that is to be refused, and how.
type hostile struct {
	what, method, path, body string
	status                   int
	name                     string // of the exception; empty for what the HTTP server refuses itself
}

const (
	invalid    = "InvalidRequestException"
	tooLarge   = "RequestEntityTooLargeException"
	notFound   = "ResourceNotFoundException"
	notAllowed = "MethodNotAllowedException"

	notImplemented = "NotImplementedException"
)

func nested(depth int) string {
	return strings.Repeat(`{"k":`, depth) + "1" + strings.Repeat("}", depth)
}

func state(desired string) string { return `{"state":{"desired":` + desired + `}}` }

var hostiles = []hostile{
	{"no JSON", "POST", "/things/h/shadow", `{`, 400, invalid},
	{"two documents", "POST", "/things/h/shadow", state(`{"a":1}`) + state(`{}`), 400, invalid},
	{"nothing", "POST", "/things/h/shadow", ``, 400, invalid},
	{"an array", "POST", "/things/h/shadow", `[1]`, 400, invalid},
	{"no state", "POST", "/things/h/shadow", `{"desired":{}}`, 400, invalid},
	{"a text as state", "POST", "/things/h/shadow", `{"state":"x"}`, 400, invalid},
	{"an unknown section", "POST", "/things/h/shadow", `{"state":{"wished":{}}}`, 400, invalid},
	{"a list as section", "POST", "/things/h/shadow", `{"state":{"reported":[]}}`, 400, invalid},
	{"9 levels", "POST", "/things/h/shadow", state(nested(9)), 400, invalid},
	{"60,000 levels", "POST", "/things/h/shadow", state(strings.Repeat("[", 60_000)), 400, invalid},
	{"null in a list", "POST", "/things/h/shadow", state(`{"a":[null]}`), 400, invalid},
	{"above 8 KiB", "POST", "/things/h/shadow", state(`{"a":"` + strings.Repeat("x", 8192) + `"}`), 413, tooLarge},
	{"above 128 KiB", "POST", "/things/h/shadow", state(`{"a":"` + strings.Repeat("x", 128<<10) + `"}`), 413, tooLarge},
	{"no UTF-8", "POST", "/things/h/shadow", state("{\"a\":\"\xff\xfe\"}"), 415, "UnsupportedDocumentEncodingException"},
	{"NUL in the text", "POST", "/things/h/shadow", state("{\"a\":\"\x00\"}"), 400, invalid},
	{"a negative version", "POST", "/things/h/shadow", `{"state":{},"version":-1}`, 400, invalid},
	{"a version of 400 digits", "POST", "/things/h/shadow", `{"state":{},"version":` + strings.Repeat("9", 400) + `}`, 400, invalid},
	{"a wrong version", "POST", "/things/h/shadow", `{"state":{},"version":9}`, 409, "ConflictException"},
	{"a long client token", "POST", "/things/h/shadow", `{"state":{},"clientToken":"` + strings.Repeat("x", 65) + `"}`, 400, invalid},
	{"a name of 129", "POST", "/things/" + strings.Repeat("h", 129) + "/shadow", state(`{}`), 400, invalid},
	{"a name with NUL", "POST", "/things/h%00/shadow", state(`{}`), 400, invalid},
	{"a name with a line end", "POST", "/things/h%0d%0a/shadow", state(`{}`), 400, invalid},
	{"a name with a slash", "POST", "/things/h%2Fx/shadow", state(`{}`), 400, invalid},
	{"a name that is no UTF-8", "POST", "/things/%ff%fe/shadow", state(`{}`), 400, invalid},
	{"a wildcard as name", "POST", "/things/%2B/shadow", state(`{}`), 400, invalid},
	{"a shadow name of 65", "POST", "/things/h/shadow?name=" + strings.Repeat("n", 65), state(`{}`), 400, invalid},
	{"a shadow name with NUL", "POST", "/things/h/shadow?name=%00", state(`{}`), 400, invalid},
	{"a reserved shadow name", "POST", "/things/h/shadow?name=$package", state(`{}`), 400, invalid},
	{"get of none", "GET", "/things/none/shadow", ``, 404, notFound},
	{"delete of none", "DELETE", "/things/none/shadow", ``, 404, notFound},
	{"another method", "PATCH", "/things/h/shadow", state(`{}`), 405, notAllowed},
	{"a method of its own", "BREW", "/things/h/shadow", state(`{}`), 405, notAllowed},
	{"a page of 0", "GET", "/api/things/shadow/ListNamedShadowsForThing/h?pageSize=0", ``, 400, invalid},
	{"a token of its own", "GET", "/api/things/shadow/ListNamedShadowsForThing/h?nextToken=%00", ``, 400, invalid},

	{"no JSON", "POST", "/things/h", `{`, 400, invalid},
	{"a list as body", "POST", "/things/h", `[]`, 400, invalid},
	{"a number as type", "POST", "/things/h", `{"thingTypeName":7}`, 400, invalid},
	{"a list as attributes", "POST", "/things/h", `{"attributePayload":{"attributes":[]}}`, 400, invalid},
	{"numbers as attributes", "POST", "/things/h", `{"attributePayload":{"attributes":{"a":1}}}`, 400, invalid},
	{"four attributes", "POST", "/things/h", `{"attributePayload":{"attributes":{"a":"1","b":"1","c":"1","d":"1"}}}`, 400, invalid},
	{"a long attribute", "POST", "/things/h", `{"attributePayload":{"attributes":{"a":"` + strings.Repeat("x", 801) + `"}}}`, 400, invalid},
	{"an attribute with NUL", "POST", "/things/h", `{"attributePayload":{"attributes":{"a":"\u0000"}}}`, 400, invalid},
	{"60,000 levels", "POST", "/things/h", strings.Repeat(`{"attributePayload":`, 60_000), 400, invalid},
	{"above 1 MiB", "POST", "/things/h", `{"thingTypeName":"` + strings.Repeat("x", 1<<20) + `"}`, 400, invalid},
	{"a name of 129", "POST", "/things/" + strings.Repeat("h", 129), `{}`, 400, invalid},
	{"a name with NUL", "POST", "/things/h%00", `{}`, 400, invalid},
	{"an unknown type", "POST", "/things/h", `{"thingTypeName":"none"}`, 404, notFound},
	{"an unknown thing", "GET", "/things/none", ``, 404, notFound},
	{"a page of 251", "GET", "/things?maxResults=251", ``, 400, invalid},
	{"a page of x", "GET", "/things?maxResults=x", ``, 400, invalid},
	{"a page of 30 digits", "GET", "/things?maxResults=" + strings.Repeat("9", 30), ``, 400, invalid},
	{"a token of its own", "GET", "/things?nextToken=%00%ff", ``, 400, invalid},
	{"a policy that is none", "POST", "/policies/p", `{"policyDocument":"{"}`, 400, "MalformedPolicyException"},
	{"a certificate that is none", "POST", "/certificate/register-no-ca", `{"certificatePem":"x"}`, 400, "CertificateValidationException"},
	{"a request that is none", "POST", "/certificates", `{"certificateSigningRequest":"x"}`, 400, invalid},
	{"an unknown operation", "POST", "/no/such/thing", `{}`, 501, notImplemented},
	{"another method", "BREW", "/things/h", `{}`, 501, notImplemented},

	{"no JSON", "PUT", "/jobs/j", `{`, 400, invalid},
	{"no targets", "PUT", "/jobs/j", `{}`, 400, invalid},
	{"a text as targets", "PUT", "/jobs/j", `{"targets":"x"}`, 400, invalid},
	{"an unknown target", "PUT", "/jobs/j", `{"targets":["arn:aws:iot:us-east-1:123456789012:thing/none"],"document":"{}"}`, 404, notFound},
	{"a target that is none", "PUT", "/jobs/j", `{"targets":["\u0000"],"document":"{}"}`, 400, invalid},
	{"a long document", "PUT", "/jobs/j", `{"targets":["x"],"document":"` + strings.Repeat("x", 40_000) + `"}`, 400, invalid},
	{"a name of 65", "PUT", "/jobs/" + strings.Repeat("j", 65), `{"targets":["x"],"document":"{}"}`, 400, invalid},
	{"a name with NUL", "PUT", "/jobs/j%00", `{"targets":["x"],"document":"{}"}`, 400, invalid},
	{"above 1 MiB", "PUT", "/jobs/j", `{"document":"` + strings.Repeat("x", 1<<20) + `"}`, 400, invalid},
	{"an unknown job", "GET", "/jobs/none", ``, 404, notFound},
	{"an execution of none", "GET", "/things/h/jobs/none", ``, 404, notFound},

	{"no JSON", "POST", "/rules/r", `{`, 400, invalid},
	{"no statement", "POST", "/rules/r", `{"actions":[]}`, 400, invalid},
	{"a statement that is none", "POST", "/rules/r", `{"sql":"SELECT","actions":[]}`, 400, "SqlParseException"},
	{"a deep statement", "POST", "/rules/r", `{"sql":"SELECT ` + strings.Repeat("(", 60_000) + `","actions":[]}`, 400, "SqlParseException"},
	{"a long statement", "POST", "/rules/r", `{"sql":"SELECT '` + strings.Repeat("x", 300_000) + `' FROM 'a'","actions":[]}`, 400, invalid},
	{"a number as statement", "POST", "/rules/r", `{"sql":7}`, 400, invalid},
	{"an unknown action", "POST", "/rules/r", `{"sql":"SELECT * FROM 'a'","actions":[{"fly":{}}]}`, 400, invalid},
	{"a name with NUL", "POST", "/rules/r%00", `{"sql":"SELECT * FROM 'a'","actions":[]}`, 400, invalid},
	{"a name of 129", "POST", "/rules/" + strings.Repeat("r", 129), `{"sql":"SELECT * FROM 'a'","actions":[]}`, 400, invalid},
	{"above 1 MiB", "POST", "/rules/r", `{"sql":"` + strings.Repeat("x", 1<<20) + `"}`, 400, invalid},
	{"an unknown rule", "GET", "/rules/none", ``, 401, "UnauthorizedException"},
	{"another method", "BREW", "/rules/r", ``, 501, notImplemented},

	{"no JSON", "POST", "/indices/search", `{`, 400, invalid},
	{"a number as query", "POST", "/indices/search", `{"queryString":7}`, 400, invalid},
	{"a deep query", "POST", "/indices/search", `{"queryString":"` + strings.Repeat("(", 5000) + `"}`, 400, "InvalidQueryException"},
	{"a long query", "POST", "/indices/search", `{"queryString":"` + strings.Repeat("a ", 20_000) + `"}`, 400, "InvalidQueryException"},
	{"a query of NUL", "POST", "/indices/search", `{"queryString":"\u0000:"}`, 400, "InvalidQueryException"},
	{"no template", "POST", "/provisioning-templates", `{}`, 400, invalid},
	{"above 512 KiB", "PUT", "/devices/h/config", strings.Repeat(" ", 600<<10), 413, ""},
}

// Each is refused with the exception that is documented, in the shape of AWS, and with few words.
func TestHostileRequests(t *testing.T) {
	p := start(t)
	for _, h := range hostiles {
		status, name, text, err := p.request(h.method, h.path, strings.NewReader(h.body))
		var said struct{ Message string }
		if bad := json.Unmarshal([]byte(text), &said); err != nil || bad != nil || said.Message == "" || status != h.status || name != h.name || len(text) > 2000 {
			t.Errorf("%s %.60s, %s: %d %s %.300s, %v, want %d %s", h.method, h.path, h.what, status, name, text, err, h.status, h.name)
		}
	}
	// Of two members of one name the last one counts, as for AWS.
	if status, _, text, err := p.request("POST", "/things/twice/shadow", strings.NewReader(state(`{"a":1,"a":2}`)+"\n")); status != 200 || err != nil {
		t.Errorf("%d %s %v", status, text, err)
	}
	if _, _, text, _ := p.request("GET", "/things/twice/shadow", http.NoBody); !strings.Contains(text, `"desired":{"a":2}`) {
		t.Error(text)
	}
}

// request is one of the admin's.
func (p *process) request(method, path string, body io.Reader) (status int, name, text string, err error) {
	r, err := http.NewRequest(method, p.http+path, body)
	if err != nil {
		return 0, "", "", err
	}
	r.Header.Set("Authorization", "Bearer "+p.token())
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", "", err
	}
	defer a.Body.Close()
	all, err := io.ReadAll(a.Body)
	return a.StatusCode, a.Header.Get("x-amzn-ErrorType"), string(all), err
}

// Clients that send without end, or nothing, or take nothing, are cut off or refused; memory stays bounded, and others are
// served meanwhile.
func TestHostileClients(t *testing.T) {
	p := start(t, "-httpPatience", "300ms")
	before := p.peak()
	for i, step := range []struct {
		what string
		do   func(token string) error
	}{
		{"100 MB to a shadow", func(token string) error { return p.flood("POST", "/things/h/shadow", token) }},
		{"100 MB to a thing", func(token string) error { return p.flood("POST", "/things/h", token) }},
		{"100 MB to a job", func(token string) error { return p.flood("PUT", "/jobs/j", token) }},
		{"100 MB to a rule", func(token string) error { return p.flood("POST", "/rules/r", token) }},
		{"100 MB to a search", func(token string) error { return p.flood("POST", "/indices/search", token) }},
		{"100 MB to a topic", func(token string) error { return p.flood("POST", "/topics/a", token) }},
		{"100 MB by nobody", func(string) error { return p.flood("POST", "/things/h/shadow", "nobody") }},
		{"half a header", func(string) error { return p.cutOff("POST /things/h/shadow HTTP/1.1\r\nHost: x\r\nAutho") }},
		{"half a body", func(token string) error {
			return p.cutOff("POST /things/h/shadow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nContent-Length: 50\r\n\r\n{")
		}},
		{"half a body of nobody", func(string) error {
			return p.cutOff("POST /things/h/shadow HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
		}},
		{"half a chunk", func(token string) error {
			return p.cutOff("POST /rules/r HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{")
		}},
		{"a header of 1 MB", func(string) error {
			return p.refused("GET /api/fleet HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n", 431)
		}},
		{"a wrong escape", func(string) error { return p.refused("GET /things/%zz/shadow HTTP/1.1\r\nHost: x\r\n\r\n", 400) }},
		{"no HTTP", func(string) error { return p.refused("\x16\x03\x01\r\n\r\n", 400) }},
		{"answers that nobody takes", func(string) error { return p.deaf() }},
	} {
		errs := make([]error, 8)
		var all sync.WaitGroup
		for c := range errs {
			all.Go(func() { errs[c] = step.do(p.token()) })
		}
		status, _, text, err := p.request("POST", "/things/other/shadow", strings.NewReader(state(fmt.Sprintf(`{"n":%d}`, i))))
		if err != nil || status != 200 {
			t.Errorf("beside %s: %d %s, %v", step.what, status, text, err)
		}
		all.Wait()
		for _, err := range errs {
			if err != nil {
				t.Errorf("%s: %v", step.what, err)
			}
		}
	}
	// 56 bodies of 100 MB and many answers later.
	if grown := p.peak() - before; grown > 96<<10 {
		t.Errorf("the backend took %d KiB more than before", grown)
	}
}

// dial opens a connection to the HTTP port. What is done with it is over before patience is.
func (p *process) dial() (*net.TCPConn, error) {
	c, err := net.Dial("tcp", strings.TrimPrefix(p.http, "http://"))
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), c.SetDeadline(time.Now().Add(patience))
}

// flood sends a body of 100 MB. The backend answers with a refusal, or cuts the connection before the answer is read.
func (p *process) flood(method, path, token string) error {
	c, err := p.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 100000000\r\n\r\n", method, path, token); err != nil {
		return err
	}
	sent, chunk := 0, bytes.Repeat([]byte("x"), 1<<20)
	for err == nil && sent < 100e6 {
		var n int
		n, err = c.Write(chunk)
		sent += n
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("not cut off after %d bytes", sent)
	}
	if err == nil {
		return fmt.Errorf("took %d bytes", sent)
	}
	return nil
}

// cutOff sends the beginning of a request and waits for the end of the connection, before which may come a refusal.
func (p *process) cutOff(begin string) error {
	c, err := p.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, begin); err != nil {
		return err
	}
	answer, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the connection stays open")
	}
	if len(answer) > 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 4") {
		return fmt.Errorf("the answer is %.200q", answer)
	}
	return nil
}

// refused sends a request that the HTTP server itself refuses.
func (p *process) refused(request string, status int) error {
	c, err := p.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	_, _ = io.WriteString(c, request) // the server need not take it all
	w, err := http.ReadResponse(bufio.NewReader(c), nil)
	if errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	if err != nil {
		return err
	}
	defer w.Body.Close()
	var said struct{ Message string }
	if err := json.NewDecoder(w.Body).Decode(&said); err != nil || said.Message == "" || w.StatusCode != status || w.Header.Get("x-amzn-ErrorType") != invalid {
		return fmt.Errorf("the answer is %s, %v, %q, %v", w.Status, w.Header, said.Message, err)
	}
	return nil
}

// Bodies that end too early are the client's fault, on every endpoint; and devices over TLS hear of a malformed request
// what the admin hears.
func TestTruncatedRequests(t *testing.T) {
	p := start(t)
	ask := func(c io.ReadWriter, request string, end func() error) (*http.Response, error) {
		if _, err := io.WriteString(c, request); err != nil {
			return nil, err
		}
		if err := end(); err != nil {
			return nil, err
		}
		w, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			_, err = io.Copy(io.Discard, w.Body)
		}
		return w, err
	}
	for _, line := range []string{"POST /things/t", "PATCH /things/t", "POST /policies/p", "POST /thing-groups/g", "POST /things/t/shadow", "POST /topics/a", "POST /rules/r",
		"PUT /jobs/j", "POST /indices/search", "POST /provisioning-templates", "POST /dynamic-thing-groups/g", "POST /security-profiles/p", "POST /authorizer/a", "POST /role-aliases/r", "POST /tags", "POST /untag"} {
		c, err := p.dial()
		if err != nil {
			t.Fatal(err)
		}
		w, err := ask(c, line+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+p.token()+"\r\nContent-Length: 100\r\n\r\n{\"a\":", c.CloseWrite)
		if err != nil || w.StatusCode != 400 || w.Header.Get("x-amzn-ErrorType") != invalid {
			t.Errorf("%s: %v, %v", line, w, err)
		}
		c.Close()
	}
	c, err := tls.Dial("tcp", "127.0.0.1:"+p.https, p.device("d").tlsConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w, err := ask(c, "GET /things/%zz/shadow HTTP/1.1\r\nHost: x\r\n\r\n", func() error { return nil })
	if err != nil || w.StatusCode != 400 || w.Header.Get("x-amzn-ErrorType") != invalid {
		t.Errorf("over TLS: %v, %v", w, err)
	}
}

// deaf asks for much and reads nothing, until the connection is cut.
func (p *process) deaf() error {
	c, err := p.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetReadBuffer(4096); err != nil {
		return err
	}
	for {
		if _, err := io.WriteString(c, strings.Repeat("GET /app.js HTTP/1.1\r\nHost: x\r\n\r\n", 100)); errors.Is(err, os.ErrDeadlineExceeded) {
			return errors.New("not cut off")
		} else if err != nil {
			return nil
		}
	}
}

// peak is the most memory that the process has held, in KiB.
func (p *process) peak() (kib int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if errors.Is(err, fs.ErrNotExist) {
		return 0 // not Linux
	}
	if err != nil {
		p.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	if _, err := fmt.Sscan(after, &kib); err != nil {
		p.t.Fatal(err)
	}
	return kib
}

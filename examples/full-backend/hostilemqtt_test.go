package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/foreign"
)

// What is wrong with a request over MQTT is told on its rejected topic, and nobody else notices.
func TestHostileMessages(t *testing.T) {
	p := start(t)
	flags := func() []string {
		return []string{"-h", "127.0.0.1", "-p", p.plain, "-i", fmt.Sprintf("h-%d", clients.Add(1)), "-q", "1"}
	}
	rejected := p.sub(flags(), "$aws/things/+/shadow/+/rejected", "$aws/things/+/shadow/name/+/+/rejected")
	long := strings.Repeat("n", 65)
	for _, h := range []struct{ what, topic, payload, want string }{
		{"no JSON", "h/shadow/update", `{`, `"code":400,"message":"Invalid JSON"`},
		{"nothing", "h/shadow/update", ``, `"code":400,"message":"Invalid JSON"`},
		{"an array", "h/shadow/update", `[]`, `"code":400,"message":"Invalid JSON"`},
		{"NUL", "h/shadow/update", state("{\"a\":\"\x00\"}"), `"code":400,"message":"Invalid JSON"`},
		{"no state", "h/shadow/update", `{"clientToken":"k"}`, `"code":400,"message":"Missing required node: state"`},
		{"an unknown section", "h/shadow/update", `{"state":{"x":1},"clientToken":"k"}`, `"code":400,"message":"State contains an invalid node: 'x'".*"clientToken":"k"`},
		{"a number as section", "h/shadow/update", `{"state":{"desired":1}}`, `"code":400,"message":"Desired node must be an object"`},
		{"9 levels", "h/shadow/update", state(nested(9)), `"code":400,"message":"JSON contains too many levels`},
		{"50,000 levels", "h/shadow/update", state(strings.Repeat("[", 50_000)), `"code":400,"message":"JSON contains too many levels`},
		{"above 8 KiB", "h/shadow/update", state(`{"a":"` + strings.Repeat("x", 8192) + `"}`), `"code":413`},
		{"above 128 KiB", "h/shadow/update", state(`{"a":"` + strings.Repeat("x", 128<<10) + `"}`), `"code":413`},
		{"no UTF-8", "h/shadow/update", state("{\"a\":\"\xff\"}"), `"code":415`},
		{"a wrong version", "h/shadow/update", `{"state":{},"version":9}`, `"code":409,"message":"Version conflict"`},
		{"a version that is none", "h/shadow/update", `{"state":{},"version":"1"}`, `"code":400,"message":"Invalid version"`},
		{"a token that is none", "h/shadow/update", `{"state":{},"clientToken":[]}`, `"code":400,"message":"Invalid clientToken"`},
		{"a name of 65", "h/shadow/name/" + long + "/update", `{"state":{}}`, `"code":400,"message":"Invalid shadow name"`},
		{"a reserved name", "h/shadow/name/$package/update", `{"state":{}}`, `"code":400`},
		{"a thing with a space", "h h/shadow/update", `{"state":{}}`, `"code":400,"message":"Invalid thing name"`},
		{"a thing of 129", strings.Repeat("h", 129) + "/shadow/update", `{"state":{}}`, `"code":400,"message":"Invalid thing name"`},
		{"get of none", "none/shadow/get", `{"clientToken":"k"}`, `"code":404.*"clientToken":"k"`},
		{"get by no JSON", "none/shadow/get", `{`, `"code":400`},
		{"delete of none, with what is ignored", "none/shadow/delete", "\x00\xff", `"code":404`},
	} {
		cmd := exec.Command(foreign.Need(t, "mosquitto_pub"), append(flags(), "-t", "$aws/things/"+h.topic, "-s")...)
		if h.payload == "" { // which -s does not send
			cmd.Args[len(cmd.Args)-1] = "-n"
		}
		cmd.Stdin = strings.NewReader(h.payload)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", h.what, err, out)
		}
		got := next(t, rejected)
		if want := "$aws/things/" + h.topic + "/rejected "; !strings.HasPrefix(got, want) || !regexp.MustCompile(h.want).MatchString(got[len(want):]) || len(got) > 1000 {
			t.Errorf("%s: got %.300s, want %s%s", h.what, got, want, h.want)
		}
	}
	// About jobs the client that asked hears alone.
	for _, h := range []struct{ what, topic, payload, want string }{
		{"no JSON", "h/jobs/get", `{`, `"code":"InvalidJson"`},
		{"no UTF-8", "h/jobs/get", "{\"clientToken\":\"\xff\"}", `"code":"InvalidJson"`},
		{"a job of none", "h/jobs/none/get", `{"clientToken":"k"}`, `"code":"ResourceNotFound".*"clientToken":"k"`},
		{"a status that is none", "h/jobs/none/update", `{"status":"FINE"}`, `"code":"InvalidRequest"`},
		{"a job's name with a space", "h/jobs/a b/get", `{}`, `"code":"Invalid`},
	} {
		if got := p.ask(flags(), "$aws/things/"+h.topic, "rejected", h.payload); !regexp.MustCompile(h.want).MatchString(got) {
			t.Errorf("jobs, %s: got %.300s, want %s", h.what, got, h.want)
		}
	}
	if status, _, text, err := p.request("GET", "/things/h/shadow", strings.NewReader("")); status != 404 || err != nil {
		t.Errorf("refused requests have left %d %s, %v", status, text, err)
	}
}

package awsauth_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/thingloom/thingloom/internal/foreign"
	"github.com/thingloom/thingloom/registry/awsauth"
)

// serve answers every request that is signed well with the path, and notes who
// asked: seen returns that, and forgets it.
func serve(t *testing.T) (url string, seen func() []awsauth.Identity) {
	t.Helper()
	auth, err := awsauth.New(awsauth.StaticKeys{
		"AKIATEST": {Secret: "s3cret/+=", Principal: "admin"},
		"ASIATEST": {Secret: "s3cret", SessionToken: "to/ken+=", Principal: "session"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []awsauth.Identity
	server := httptest.NewServer(auth.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := awsauth.FromContext(r.Context())
		mu.Lock()
		all = append(all, id)
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"path": r.URL.EscapedPath(), "things": []string{}, "results": []string{"n"}, "timestamp": 1})
	})))
	t.Cleanup(server.Close)
	return server.URL, func() []awsauth.Identity {
		mu.Lock()
		defer mu.Unlock()
		taken := all
		all = nil
		return taken
	}
}

// The command line of AWS, unmodified.
func TestAWSCommandLine(t *testing.T) {
	program := foreign.Need(t, "/usr/bin/aws")
	url, seen := serve(t)
	run := func(secret, id, token string, args ...string) (string, error) {
		cmd := exec.Command(program, append([]string{"--endpoint-url", url, "--region", "eu-west-1"}, args...)...)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+id, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1")
		if token != "" {
			cmd.Env = append(cmd.Env, "AWS_SESSION_TOKEN="+token)
		}
		b, err := cmd.CombinedOutput()
		return string(b), err
	}
	for _, tt := range []struct {
		secret, id, token, service string
		args                       []string
		fails                      string
	}{
		{"s3cret/+=", "AKIATEST", "", "execute-api", []string{"iot", "list-things"}, ""},
		{"s3cret/+=", "AKIATEST", "", "execute-api", []string{"iot", "create-thing", "--thing-name", "a:b_1", "--attribute-payload", `{"attributes":{"k":"v w"}}`}, ""},
		{"s3cret/+=", "AKIATEST", "", "iotdata", []string{"iot-data", "publish", "--topic", "a/b c/$x é", "--qos", "1", "--cli-binary-format", "raw-in-base64-out", "--payload", `{"a":1}`}, ""},
		{"s3cret", "ASIATEST", "to/ken+=", "iotdata", []string{"iot-data", "list-named-shadows-for-thing", "--thing-name", "a:b"}, ""},
		{"wrong", "AKIATEST", "", "", []string{"iot", "list-things"}, "InvalidSignatureException"},
		{"s3cret", "NOBODY", "", "", []string{"iot-data", "list-named-shadows-for-thing", "--thing-name", "a"}, "UnrecognizedClientException"},
	} {
		text, err := run(tt.secret, tt.id, tt.token, tt.args...)
		seen := seen()
		switch {
		case tt.fails != "" && (err == nil || !strings.Contains(text, tt.fails) || len(seen) > 0):
			t.Errorf("%v: %v, %s", tt.args, err, text)
		case tt.fails == "" && (err != nil || len(seen) != 1 || seen[0].Service != tt.service || seen[0].AccessKeyID != tt.id):
			t.Errorf("%v: %v, %s, seen %+v", tt.args, err, text, seen)
		}
	}
}

// The JavaScript SDKs of AWS, unmodified; the last one signs a WebSocket's URL.
func TestJavaScript(t *testing.T) {
	dir := foreign.NeedNPM(t, "@aws-sdk/client-iot-data-plane")
	foreign.NeedNPM(t, "aws-iot-device-sdk")
	url, seen := serve(t)
	script := `
const {IoTDataPlaneClient, PublishCommand, GetThingShadowCommand, UpdateThingShadowCommand} = require('@aws-sdk/client-iot-data-plane');
const {IoTClient, CreateThingCommand} = require('@aws-sdk/client-iot');
const {prepareWebSocketUrl} = require('aws-iot-device-sdk/device');
(async () => {
  const common = {endpoint: process.argv[1], region: 'eu-west-1', maxAttempts: 1};
  const good = {...common, credentials: {accessKeyId: 'AKIATEST', secretAccessKey: 's3cret/+='}};
  const data = new IoTDataPlaneClient(good);
  await data.send(new PublishCommand({topic: 'a/b c/$x+é', payload: Buffer.from('{}'), qos: 1, userProperties: '[{"k":"v"}]'}));
  await data.send(new UpdateThingShadowCommand({thingName: 'a:b', shadowName: 'n', payload: Buffer.from('{"state":{}}')}));
  await new IoTClient(good).send(new CreateThingCommand({thingName: 't1'}));
  const session = new IoTDataPlaneClient({...common, credentials: {accessKeyId: 'ASIATEST', secretAccessKey: 's3cret', sessionToken: 'to/ken+='}});
  await session.send(new GetThingShadowCommand({thingName: 'a'}));
  try {
    await new IoTDataPlaneClient({...common, credentials: {accessKeyId: 'AKIATEST', secretAccessKey: 'x'}}).send(new GetThingShadowCommand({thingName: 'a'}));
  } catch (e) { console.log('refused', e.name, e.$metadata.httpStatusCode); }
  for (const token of ['', 'to/ken+=']) {
    const host = process.argv[1].replace('http://', '');
    const wss = prepareWebSocketUrl({host, region: 'eu-west-1', protocol: 'wss', path: '/mqtt'},
      token ? 'ASIATEST' : 'AKIATEST', token ? 's3cret' : 's3cret/+=', token || undefined);
    const res = await fetch(wss.replace(/^wss:/, 'http:'));
    console.log('websocket', res.status);
  }
})().catch(e => { console.error(e); process.exit(1); });`
	cmd := exec.Command("node", "-e", script, url)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "refused InvalidSignatureException 403") || strings.Count(string(out), "websocket 200") != 2 {
		t.Fatalf("%v\n%s", err, out)
	}
	var services []string
	for _, id := range seen() {
		services = append(services, id.Principal+" "+id.Service)
	}
	want := "admin iotdata, admin iotdata, admin iot, session iotdata, admin iotdevicegateway, session iotdevicegateway"
	if got := strings.Join(services, ", "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// accessKey is the one that the backend has made.
func (p *process) accessKey() (id, secret string) {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.data, "aws-credentials"))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		switch name, value, _ := strings.Cut(line, " = "); name {
		case "aws_access_key_id":
			id = strings.TrimSpace(value)
		case "aws_secret_access_key":
			secret = strings.TrimSpace(value)
		}
	}
	return id, secret
}

// Who has no certificate reaches the data plane at the port of devices with a signature, over HTTPS and WebSocket, and
// nothing without one.
func TestSignedWithoutCertificate(t *testing.T) {
	p := start(t)
	d := p.device("lamp-1")
	id, secret := p.accessKey()
	steps := d.node("wss.js", "aws-iot-device-sdk", "PORT="+p.https, "KEY_ID="+id, "SECRET="+secret, "NODE_EXTRA_CA_CERTS="+d.ca)
	for step, want := range map[string]string{"forged": `{"closed":true}`, "got": `{"topic":"office/a","payload":"signed"}`} {
		if got := string(steps[step]); got != want {
			t.Errorf("%s: %s, want %s", step, got, want)
		}
	}
	a := p.aws()
	a.url = "https://localhost:" + p.https
	a.env = append(a.env, "AWS_CA_BUNDLE="+d.ca)
	got := d.sub("$aws/things/lamp-1/shadow/update/delta")
	dir := t.TempDir()
	file, out := filepath.Join(dir, "payload"), filepath.Join(dir, "out")
	if err := os.WriteFile(file, []byte(`{"state":{"desired":{"on":true}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	a.ok(``, "iot-data", "update-thing-shadow", "--thing-name", "lamp-1", "--payload", "fileb://"+file, out)
	if line := next(t, got); !strings.Contains(line, `"on":true`) {
		t.Errorf("the device got %s", line)
	}
	a.ok(``, "iot-data", "publish", "--topic", "a//b", "--payload", "fileb://"+file)
	a.ok(`"inProgressJobs":[]`, "iot-jobs-data", "get-pending-job-executions", "--thing-name", "lamp-1")

	strange := &http.Client{Transport: &http.Transport{TLSClientConfig: d.tlsConfig()}}
	strange.Transport.(*http.Transport).TLSClientConfig.Certificates = nil
	defer strange.CloseIdleConnections()
	for _, path := range []string{"/things/lamp-1/shadow", "/retainedMessage", "/things/lamp-1/jobs", "/connections/lamp-1", "/things", "/"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", a.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(signedHeader, adminPrincipal)
		r.Header.Set("Authorization", "Bearer "+p.token()) // is of the other port
		w, err := strange.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		w.Body.Close()
		if name := w.Header.Get("x-amzn-ErrorType"); w.StatusCode/100 != 4 || name == "" {
			t.Errorf("%s: %s %s", path, w.Status, name)
		}
	}
}

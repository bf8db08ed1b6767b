package jobsmqtt_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/internal/foreign"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/jobs"
	"github.com/thingloom/thingloom/registry/jobs/jobsmqtt"
)

// devices lets in whose certificate is registered.
type devices struct{ *registry.Registry }

func (d devices) Authenticate(ctx context.Context, c broker.Credentials) (string, error) {
	return d.PrincipalOf(ctx, c.TLS.PeerCertificates[0])
}

func (d devices) Authorize(ctx context.Context, a broker.Access) error {
	err := d.Allowed(ctx, registry.Access(a))
	if errors.Is(err, registry.ErrNotAuthorized) {
		return broker.ErrNotAuthorized
	}
	return err
}

const devicePolicy = `{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":"iot:Connect","Resource":"arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}"},
 {"Effect":"Allow","Action":["iot:Publish","iot:Receive"],"Resource":"arn:aws:iot:*:*:topic/$aws/things/${iot:Connection.Thing.ThingName}/jobs/*"},
 {"Effect":"Allow","Action":"iot:Subscribe","Resource":"arn:aws:iot:*:*:topicfilter/$aws/things/${iot:Connection.Thing.ThingName}/jobs/*"}]}`

// TestDeviceSDKs has unmodified device clients of AWS work off two jobs over
// mutual TLS, allowed by a policy to do no more than that.
func TestDeviceSDKs(t *testing.T) {
	for name, c := range map[string]struct{ npm, script string }{
		"v1": {"aws-iot-device-sdk", "v1.js"},
		"v2": {"aws-iot-device-sdk-v2", "v2.js"},
	} {
		t.Run(name, func(t *testing.T) {
			npm := foreign.NeedNPM(t, c.npm)
			script, err := os.ReadFile(filepath.Join("testdata", c.script))
			if err != nil {
				t.Fatal(err)
			}
			reg, svc := newService(t, "t1")
			port, files := serveDevices(t, reg, svc)
			create(t, svc, "j1", 0)
			create(t, svc, "j2", 0)
			cmd := exec.CommandContext(t.Context(), "node", append([]string{"-", port}, files...)...)
			cmd.Dir = npm
			cmd.Stdin = strings.NewReader(string(script))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for id, want := range map[string]jobs.ExecutionStatus{"j1": jobs.Succeeded, "j2": jobs.Failed} {
				e, err := svc.Execution(t.Context(), "t1", id, 0)
				if err != nil || e.Status != want || e.Details["by"] != name {
					t.Errorf("execution is %+v, %v, want %s\n%s", e, err, want, out)
				}
			}
		})
	}
}

// serveDevices runs a broker with TLS, and returns its port and the files of
// CA, certificate and key of the thing t1.
func serveDevices(t *testing.T, reg *registry.Registry, svc *jobs.Service) (port string, files []string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ca, err := registry.NewCA(nil)
	must(err)
	server, err := ca.ServerCertificate("localhost", "127.0.0.1")
	must(err)
	cert, keys, err := reg.CreateKeysAndCertificate(t.Context(), &registry.KeyOptions{Status: registry.StatusActive})
	must(err)
	_, err = reg.CreatePolicy(t.Context(), "device", devicePolicy)
	must(err)
	must(reg.AttachPolicy(t.Context(), "device", cert.ID))
	must(reg.AttachPrincipal(t.Context(), "t1", cert.ID))
	dir := t.TempDir()
	for name, text := range map[string][]byte{"ca": ca.CertificatePEM(), "cert": []byte(cert.PEM), "key": []byte(keys.PrivatePEM)} {
		must(os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	d := devices{reg}
	b, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: d, Authorizer: d})
	must(err)
	e, err := jobsmqtt.New(svc, b, nil)
	must(err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAnyClientCert})
	must(err)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { b.Serve(ctx, l) })
	wg.Go(func() { b.Run(ctx) })
	t.Cleanup(func() { stop(); wg.Wait(); e.Close() })
	_, port, err = net.SplitHostPort(l.Addr().String())
	must(err)
	return port, []string{filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")}
}

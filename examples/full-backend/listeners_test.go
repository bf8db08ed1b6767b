package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/foreign"
)

// local are the flags of a mosquitto client of the port without TLS.
func (p *process) local() []string {
	return []string{"-h", "127.0.0.1", "-p", p.plain, "-i", fmt.Sprintf("local-%d", clients.Add(1)), "-q", "1"}
}

// TestOnePort: MQTT by both ALPN names, and HTTPS, on one port.
func TestOnePort(t *testing.T) {
	p := start(t)
	d := p.device("one")
	seen := p.sub(p.local(), "sensors/one/#")
	for i, alpn := range []string{"x-amzn-mqtt-ca", "mqtt"} {
		payload := fmt.Sprintf(`{"temperature":%d}`, i)
		if out, err := d.pub("sensors/one/climate", payload, "-p", p.https, "--tls-alpn", alpn); err != nil {
			t.Fatalf("%s: %v\n%s", alpn, err, out)
		}
		if got := next(t, seen); got != "sensors/one/climate "+payload {
			t.Errorf("%s: got %q", alpn, got)
		}
	}
	for _, alpn := range []string{"--no-alpn", "--http1.1"} {
		out, err := exec.Command(foreign.Need(t, "curl"), "-sS", alpn, "--cacert", d.ca, "--cert", d.cert, "--key", d.key,
			"-d", `{"temperature":9}`, "https://localhost:"+p.https+"/topics/sensors/one/climate?qos=1").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "OK") {
			t.Errorf("curl %s: %v\n%s", alpn, err, out)
		}
		if got := next(t, seen); got != `sensors/one/climate {"temperature":9}` {
			t.Errorf("curl %s: got %q", alpn, got)
		}
	}
}

// TestServerCertificateIsReplaced: a new one is used without a restart, and who is connected stays.
func TestServerCertificateIsReplaced(t *testing.T) {
	p, other := start(t), start(t)
	d := p.device("stays")
	watch := d.sub("devices/stays/config")
	shown := func() []byte {
		conn, err := tls.Dial("tcp", "127.0.0.1:"+p.mqtt, &tls.Config{InsecureSkipVerify: true, Certificates: d.tlsConfig().Certificates})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Raw
	}
	before := shown()
	for _, name := range []string{"server.key", "server.pem"} {
		b, err := os.ReadFile(filepath.Join(other.data, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p.data, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.eventually("the new certificate", func() error {
		if bytes.Equal(shown(), before) {
			return errors.New("still the old one")
		}
		return nil
	})
	if status, answer := p.curl("PUT", "/devices/stays/config?via=topic", `{"intervalSeconds":5}`); status != 200 {
		t.Errorf("%d %s", status, answer)
	}
	next(t, watch)
}

// TestUnixSocket: also one whose file a killed process has left.
func TestUnixSocket(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mqtt")
	p := start(t, "-unix", file)
	p.kill()
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
	p.run()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	seen := p.sub(p.local(), "sensors/u/#")
	out, err := exec.Command(foreign.Need(t, "mosquitto_pub"), "--unix", file, "-q", "1", "-t", "sensors/u/climate", "-m", "{}").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := next(t, seen); got != "sensors/u/climate {}" {
		t.Errorf("got %q", got)
	}
}

// TestProxyProtocol: the address is the one that the load balancer says.
func TestProxyProtocol(t *testing.T) {
	p := start(t, "-proxy", "127.0.0.0/8,::1/128")
	d := p.device("behind")
	seen := p.sub(p.local(), "$aws/events/presence/connected/behind")
	for i, port := range []string{p.mqtt, p.https} {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "PROXY TCP4 203.0.113.%d 192.0.2.1 40000 8883\r\n", 7+i)
		config := d.tlsConfig()
		config.ServerName = "localhost"
		config.NextProtos = []string{"mqtt"}
		secure := tls.Client(conn, config)
		if _, err := secure.Write([]byte("\x10\x12\x00\x04MQTT\x04\x02\x00\x3c\x00\x06behind")); err != nil {
			t.Fatal(err)
		}
		if b := readN(t, secure, 4); b[0] != 0x20 || b[3] != 0 {
			t.Fatalf("CONNACK % x", b)
		}
		if got, want := next(t, seen), fmt.Sprintf(`"ipAddress":"203.0.113.%d"`, 7+i); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s in it", got, want)
		} else if !strings.Contains(got, `"thingName":"behind"`) { // which its certificate is tied to
			t.Errorf("got %s", got)
		}
	}
	if out, err := d.pub("sensors/behind/climate", "{}"); err == nil {
		t.Errorf("a load balancer without a header is let in\n%s", out)
	}
}

// TestAWSLimitsAndStatistics: a device meets the limits of AWS IoT, and the scenario of a reading works within them.
func TestAWSLimitsAndStatistics(t *testing.T) {
	p := start(t, "-awsLimits", "-sys", "1s", "-maxMemory", "100000000")
	d := p.device("held")
	if got := next(t, p.sub(p.local(), "$SYS/broker/clients/connected")); !strings.HasPrefix(got, "$SYS/broker/clients/connected ") {
		t.Errorf("got %q", got)
	}
	delta := d.sub("$aws/things/held/shadow/update/delta")
	d.mustPub("$aws/things/held/shadow/update", `{"state":{"desired":{"a":1}}}`)
	if got := next(t, delta); !strings.Contains(got, `"a":1`) {
		t.Errorf("got %q", got)
	}
	if out, err := d.pub("sensors/held/climate", "{}", "-q", "2"); err == nil {
		t.Errorf("QoS 2 is granted\n%s", out)
	}
	if out, err := d.pub("sensors/held/climate", strings.Repeat("x", 128<<10+1)); err == nil {
		t.Errorf("129 KiB are taken\n%s", out)
	}
	d.mustPub("sensors/held/climate", `{"temperature":99}`)
	p.eventually("the notification", func() error {
		if b, err := p.get("/api/notifications"); err != nil || !strings.Contains(string(b), `"held"`) {
			return fmt.Errorf("%s, %v", b, err)
		}
		return nil
	})
}

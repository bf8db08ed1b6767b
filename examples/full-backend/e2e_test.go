package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/internal/foreign"
)

// Scenario 1: a sensor publishes and updates its shadow; a rule invokes a
// function that compares the value with a threshold kept in a table; above it,
// a push notification goes out.
func TestThresholdNotifies(t *testing.T) {
	push := newReceiver(t)
	p := start(t, "-notifyURL", push.url+"/alerts")
	d := p.device("lamp-7")
	if status, answer := p.curl("PUT", "/tables/thresholds/lamp-7", `{"max":40}`); status != 200 {
		t.Fatalf("PUT threshold: %d %s", status, answer)
	}
	accepted := d.sub("$aws/things/lamp-7/shadow/update/accepted")
	d.mustPub("sensors/lamp-7/climate", `{"temperature":39.5}`) // below: no notification
	d.mustPub("sensors/lamp-7/climate", `{"temperature":40.5}`)
	d.mustPub("$aws/things/lamp-7/shadow/update", `{"state":{"reported":{"temperature":40.5}}}`)
	if line := next(t, accepted); !strings.Contains(line, `"temperature":40.5`) {
		t.Errorf("update/accepted is %s", line)
	}
	body := next(t, push.bodies)
	var n struct{ Topic, Title, Message string }
	if err := json.Unmarshal([]byte(body), &n); err != nil {
		t.Fatalf("notification %q: %v", body, err)
	}
	if n.Topic != "alerts" || !strings.Contains(n.Message, "lamp-7") || !strings.Contains(n.Message, "40.5") || !strings.Contains(n.Message, "40") {
		t.Errorf("notification is %s", body)
	}
	select {
	case more := <-push.bodies:
		t.Errorf("a second notification: %s", more)
	default:
	}
	// The page has it from the list, and hears of it once more as it subscribes.
	if page := browse(t, p.http+"/", "live", n.Message); strings.Count(page, n.Message) != 1 {
		t.Errorf("%q is not on the page once:\n%s", n.Message, page)
	}
	status, answer := p.curl("GET", "/things/lamp-7/shadow", "")
	if status != 200 || !strings.Contains(answer, `"reported":{"temperature":40.5}`) {
		t.Errorf("shadow over HTTP: %d %s", status, answer)
	}
}

// Scenario 2: an app calls a REST endpoint; a function checks the JSON and
// publishes the configuration, or sets it as desired state.
func TestConfigReachesDevice(t *testing.T) {
	p := start(t)
	d := p.device("lamp-7")
	got := d.sub("devices/lamp-7/config", "$aws/things/lamp-7/shadow/update/delta")
	if status, answer := p.curl("PUT", "/devices/lamp-7/config?via=topic", `{"intervalSeconds":5}`); status != 200 {
		t.Fatalf("via topic: %d %s", status, answer)
	}
	if line := next(t, got); line != `devices/lamp-7/config {"intervalSeconds":5}` {
		t.Errorf("config is %s", line)
	}
	if status, answer := p.curl("PUT", "/devices/lamp-7/config", `{"intervalSeconds":7}`); status != 200 {
		t.Fatalf("via shadow: %d %s", status, answer)
	}
	line := next(t, got)
	topic, payload, _ := strings.Cut(line, " ")
	var delta struct {
		State json.RawMessage
	}
	if err := json.Unmarshal([]byte(payload), &delta); err != nil || topic != "$aws/things/lamp-7/shadow/update/delta" || string(delta.State) != `{"config":{"intervalSeconds":7}}` {
		t.Errorf("delta is %s (%v)", line, err)
	}
	for _, tt := range []struct {
		body   string
		status int
		want   string
	}{
		{`{"intervalSeconds":0}`, 400, "intervalSeconds"},
		{`{"intervalSeconds":"5"}`, 400, "intervalSeconds"},
		{`{"intervalSecond":5}`, 400, "intervalSecond"},
		{`{"intervalSeconds":5`, 400, "JSON"},
		{`[]`, 400, "object"},
	} {
		if status, answer := p.curl("PUT", "/devices/lamp-7/config", tt.body); status != tt.status || !strings.Contains(answer, tt.want) {
			t.Errorf("config %s: got %d %s, want %d with %q", tt.body, status, answer, tt.status, tt.want)
		}
	}
	if status, answer := p.curl("PUT", "/devices/nobody/config", `{"intervalSeconds":5}`); status != 404 {
		t.Errorf("unknown thing: %d %s", status, answer)
	}
}

// Scenario 3: telemetry of many devices becomes metrics per device and window,
// in files, in a table and on the page.
func TestTelemetryBecomesMetrics(t *testing.T) {
	// The devices publish one after the other; a partition must not take the
	// second one's readings for late.
	p := start(t, "-lateness", "10s")
	const window = 1000
	now := time.Now().UnixMilli() / window * window
	var all []reading
	for _, thing := range []string{"s1", "s2", "s3"} {
		d := p.device(thing)
		var payloads []string
		for n := range 60 {
			r := reading{thing: thing, N: n, TS: now - 20_000 + int64(n)*100, Temperature: 20 + float64(n%7)*0.5 + float64(len(all)%3)}
			all = append(all, r)
			payloads = append(payloads, r.String())
		}
		d.publishAll("sensors/"+thing+"/climate", payloads)
	}
	want := oracle(window, all)

	p.eventually("metrics in the bucket", func() error {
		got, err := metricsIn(p.lines("metrics"))
		if err != nil {
			t.Fatal(err)
		}
		return sameMetrics(got, want)
	})
	p.eventually("metrics in the table", func() error {
		got := map[string]metric{}
		for _, thing := range []string{"s1", "s2", "s3"} {
			_, answer := p.curl("GET", "/tables/metrics/"+thing, "")
			var rows []metric
			if err := json.Unmarshal([]byte(answer), &rows); err != nil {
				return fmt.Errorf("%w in %s", err, answer)
			}
			for _, m := range rows {
				got[fmt.Sprintf("%s %d", m.Thing, m.WindowStart)] = m
			}
		}
		return sameMetrics(got, want)
	})
	raw := p.lines("raw")
	if err := onceEach(raw, all); err != nil {
		t.Error(err)
	}

	// The page shows the last window of each thing.
	var shown []string
	for _, thing := range []string{"s1", "s2", "s3"} {
		m := want[fmt.Sprintf("%s %d", thing, (now-20_000+59*100)/window*window)]
		avg := strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", m.Avg), "0"), ".")
		shown = append(shown, fmt.Sprintf("%s %s °", thing, avg))
	}
	browse(t, p.http+"/", shown...)
}

func sameMetrics(got, want map[string]metric) error {
	for key, w := range want {
		g, ok := got[key]
		if !ok {
			return fmt.Errorf("window %s is missing; have %d of %d", key, len(got), len(want))
		}
		if !closeTo(g, w) {
			return fmt.Errorf("window %s is %+v, want %+v", key, g, w)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d windows, want %d", len(got), len(want))
	}
	return nil
}

// onceEach checks that each reading is in the lines exactly once.
func onceEach(lines []string, readings []reading) error {
	count := map[string]int{}
	for _, line := range lines {
		var r struct {
			Thing string
			N     int
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return fmt.Errorf("%w in %q", err, line)
		}
		count[fmt.Sprint(r.Thing, " ", r.N)]++
	}
	for _, r := range readings {
		if n := count[fmt.Sprint(r.thing, " ", r.N)]; n != 1 {
			return fmt.Errorf("reading %d of %s is in the files %d times", r.N, r.thing, n)
		}
	}
	return nil
}

// browse opens the page in headless Chromium, waits until it shows every text
// and returns what it shows. With SCREENSHOT set it keeps a picture there.
func browse(t *testing.T, url string, texts ...string) string {
	t.Helper()
	want, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf(`
		const { chromium } = require('playwright-core');
		(async () => {
			const browser = await chromium.launch({ executablePath: %q, args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
				'--disable-background-networking', '--disable-component-update', '--disable-sync'] });
			const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
			await page.goto(%q);
			try {
				await page.waitForFunction(want => want.every(text => document.body.innerText.includes(text)), %s, { timeout: 30000 });
			} finally {
				console.log(await page.evaluate(() => document.body.innerText));
				if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
				await browser.close();
			}
		})().catch(e => { console.error(e); process.exit(1); });`, foreign.Need(t, "chromium"), url, want)
	cmd := exec.Command(foreign.Need(t, "node"), "-e", script)
	cmd.Dir = foreign.NeedNPM(t, "playwright-core")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("the page does not show %q: %v\n%s", texts, err, out)
	}
	return string(out)
}

// Every refusal is the documented one, and nothing else suffers.
func TestRefusals(t *testing.T) {
	p := start(t)
	good := p.device("good")
	watch := good.sub("devices/good/config")
	healthy := func(after string) {
		t.Helper()
		if status, answer := p.curl("PUT", "/devices/good/config?via=topic", `{"intervalSeconds":5}`); status != 200 {
			t.Errorf("after %s: %d %s", after, status, answer)
		}
		next(t, watch)
	}

	t.Run("revoked certificate", func(t *testing.T) {
		bad := p.device("bad")
		bad.mustPub("sensors/bad/climate", `{"temperature":1}`)
		conn, err := tls.Dial("tcp", "127.0.0.1:"+p.mqtt, bad.tlsConfig())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.Write([]byte("\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05bad-x"))
		if b := readN(t, conn, 4); b[0] != 0x20 || b[3] != 0 {
			t.Fatalf("CONNACK % x", b)
		}
		if status, answer := p.curl("POST", "/devices/bad/revoke", ""); status != 200 {
			t.Fatalf("revoke: %d %s", status, answer)
		}
		conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadAll(conn); err != nil && os.IsTimeout(err) {
			t.Error("a live connection outlives its certificate")
		}
		if out, err := bad.pub("sensors/bad/climate", `{}`); err == nil {
			t.Errorf("a revoked certificate may publish: %s", out)
		}
	})
	healthy("a revoked certificate")

	t.Run("foreign certificate", func(t *testing.T) {
		d := foreignDevice(t, good)
		if out, err := d.pub("sensors/good/climate", `{}`); err == nil {
			t.Errorf("a foreign certificate may publish: %s", out)
		}
	})
	healthy("a foreign certificate")

	t.Run("forbidden topic", func(t *testing.T) {
		out, err := good.pub("sensors/other/climate", `{}`, "-V", "5", "-d")
		if !strings.Contains(out, "RC:135") { // 0x87, not authorised
			t.Errorf("got %v\n%s", err, out)
		}
	})
	healthy("a forbidden topic")

	t.Run("malformed packet", func(t *testing.T) {
		conn, err := tls.Dial("tcp", "127.0.0.1:"+p.mqtt, good.tlsConfig())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.Write([]byte("\x10\x13\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x06good-x")) // CONNECT, MQTT 5
		if b := readPacket(t, conn); b[0] != 0x20 || b[3] != 0 {
			t.Fatalf("CONNACK % x", b)
		}
		conn.Write([]byte("\x82\x06\x00\x01\x00\x00\x01\x61")) // SUBSCRIBE without options byte
		if b := readPacket(t, conn); b[0] != 0xe0 || b[2] != 0x81 {
			t.Errorf("got % x, want DISCONNECT 0x81", b)
		}
	})
	healthy("a malformed packet")

	t.Run("payload that is not JSON", func(t *testing.T) {
		good.mustPub("sensors/good/climate", `{"temperature":`)
		p.eventually("the counter of refused records", func() error {
			_, answer := p.curl("GET", "/api/rules", "")
			if !strings.Contains(answer, `"failed":1`) {
				return fmt.Errorf("%s", answer)
			}
			return nil
		})
	})
	healthy("a payload that is not JSON")

	t.Run("rule with a syntax error", func(t *testing.T) {
		status, answer := p.curl("POST", "/rules/broken", `{"sql":"SELECT *\nFORM 'a'","actions":[]}`)
		if status != 400 || !strings.Contains(answer, "2:") && !strings.Contains(answer, "line 2") {
			t.Errorf("got %d %s", status, answer)
		}
	})
	t.Run("rule created twice", func(t *testing.T) {
		rule := `{"sql":"SELECT * FROM 'a'","actions":[{"log":{}}]}`
		if status, answer := p.curl("POST", "/rules/twice", rule); status != 200 {
			t.Fatalf("first: %d %s", status, answer)
		}
		if status, answer := p.curl("POST", "/rules/twice", rule); status != 409 {
			t.Errorf("second: %d %s", status, answer)
		}
	})
	t.Run("no admin token", func(t *testing.T) {
		out, err := exec.Command(foreign.Need(t, "curl"), "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", p.http+"/devices/x").Output()
		if err != nil || string(out) != "401" {
			t.Errorf("got %s, %v", out, err)
		}
	})
	healthy("all of it")
}

func readN(t *testing.T, r io.Reader, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// readPacket reads one MQTT packet of less than 128 bytes.
func readPacket(t *testing.T, c net.Conn) []byte {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	r := bufio.NewReaderSize(c, 16)
	head, err := r.Peek(2)
	if err != nil {
		t.Fatal(err)
	}
	return readN(t, r, 2+int(head[1]))
}

// foreignDevice is a device with the names of d, whose certificate another CA made.
func foreignDevice(t *testing.T, d *device) *device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: d.thing}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, made, made, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	f := *d
	f.cert, f.key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{f.cert: {Type: "CERTIFICATE", Bytes: der}, f.key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &f
}

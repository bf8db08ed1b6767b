package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/thingloom/thingloom/internal/foreign"
)

// patience bounds every wait of the end-to-end tests; none asserts a time.
const patience = 60 * time.Second

// program is the example, built once for all end-to-end tests. It is built
// without the race detector: it is what a user runs.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "full-backend")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "full-backend")
	build := exec.Command("go", "build", "-o", file, ".")
	build.Env = append(os.Environ(), "GOFLAGS="+strings.ReplaceAll(os.Getenv("GOFLAGS"), "-race", ""))
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return file, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if file, err := program(); err == nil && code == 0 {
		os.RemoveAll(filepath.Dir(file))
	}
	os.Exit(code)
}

// A process is the running example.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	exit  chan error
	out   *lockedBuffer
	data  string
	http  string // base URL
	mqtt  string // port
	https string // port
	plain string // port
	args  []string
}

// start runs the example on free ports with a fresh data folder and waits until it answers.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	ports := freePorts(t, 4)
	p := &process{t: t, data: filepath.Join(t.TempDir(), "data"), http: "http://127.0.0.1:" + ports[0], mqtt: ports[1], https: ports[2], plain: ports[3]}
	p.args = append([]string{"-data", p.data, "-http", "127.0.0.1:" + ports[0], "-mqtt", "127.0.0.1:" + ports[1], "-https", "127.0.0.1:" + ports[2],
		"-plain", "127.0.0.1:" + ports[3], "-window", "1s", "-lateness", "0s", "-fileEvery", "200ms"}, args...)
	p.run()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("output of the backend:\n%s", p.out)
		}
	})
	return p
}

func (p *process) run() {
	p.t.Helper()
	file, err := program()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(file, p.args...)
	if p.out == nil {
		p.out = &lockedBuffer{}
	}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.exit = make(chan error, 1)
	go func(cmd *exec.Cmd, exit chan error) { exit <- cmd.Wait() }(p.cmd, p.exit)
	p.eventually("the backend answers", func() error {
		select {
		case err := <-p.exit:
			p.exit <- err
			p.t.Fatalf("the backend ended: %v\n%s", err, p.out)
		default:
		}
		_, err := p.get("/api/fleet")
		return err
	})
}

// kill ends the process as a power cut would, as far as a process can tell.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.exit <- <-p.exit
}

// stop asks the process to drain, as Ctrl-C does.
func (p *process) stop() error {
	p.cmd.Process.Signal(syscall.SIGINT)
	select {
	case err := <-p.exit:
		p.exit <- err
		return err
	case <-time.After(patience):
		return fmt.Errorf("still running %s after the signal", patience)
	}
}

// eventually calls check until it returns nil.
func (p *process) eventually(what string, check func() error) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: %v", what, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (p *process) token() string {
	b, err := os.ReadFile(filepath.Join(p.data, "admin-token"))
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// curl calls the REST API with the program that the README shows, as the admin.
func (p *process) curl(method, path, body string) (status int, answer string) {
	p.t.Helper()
	program := foreign.Need(p.t, "curl")
	args := []string{"-sS", "-X", method, "-H", "Authorization: Bearer " + p.token(), "-w", "\n%{http_code}", p.http + path}
	if body != "" {
		args = append(args, "--data-binary", body)
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("curl %s %s: %v\n%s", method, path, err, out)
	}
	text := string(out)
	cut := strings.LastIndexByte(text, '\n')
	fmt.Sscan(text[cut+1:], &status)
	return status, text[:cut]
}

func (p *process) get(path string) ([]byte, error) {
	r, err := http.Get(p.http + path)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != 200 {
		err = fmt.Errorf("GET %s: %s: %s", path, r.Status, b)
	}
	return b, err
}

// A device is the identity of one device, in files as mosquitto_pub wants them.
type device struct {
	p             *process
	thing, id     string
	ca, cert, key string
}

// device registers a thing with a certificate of its own through the REST API.
func (p *process) device(thing string) *device {
	p.t.Helper()
	status, answer := p.curl("POST", "/devices/"+thing, "")
	if status != 201 {
		p.t.Fatalf("POST /devices/%s: %d %s", thing, status, answer)
	}
	var made struct{ CertificateID, CertificatePEM, PrivateKeyPEM, CAPEM string }
	if err := json.Unmarshal([]byte(answer), &made); err != nil {
		p.t.Fatal(err)
	}
	dir := p.t.TempDir()
	d := &device{p: p, thing: thing, id: made.CertificateID, ca: filepath.Join(dir, "ca.pem"), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	for file, text := range map[string]string{d.ca: made.CAPEM, d.cert: made.CertificatePEM, d.key: made.PrivateKeyPEM} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	return d
}

func (d *device) flags() []string {
	return []string{"-h", "localhost", "-p", d.p.mqtt, "--cafile", d.ca, "--cert", d.cert, "--key", d.key, "-i", fmt.Sprintf("%s-%d", d.thing, clients.Add(1)), "-q", "1"}
}

// clients numbers client ids, so that no two programs of a test take over from each other.
var clients atomic.Int64

// pub publishes with mosquitto_pub and returns its output, and its error.
func (d *device) pub(topic, payload string, more ...string) (string, error) {
	program := foreign.Need(d.p.t, "mosquitto_pub")
	args := append(append(d.flags(), "-t", topic, "-m", payload), more...)
	out, err := exec.Command(program, args...).CombinedOutput()
	return string(out), err
}

func (d *device) mustPub(topic, payload string) {
	d.p.t.Helper()
	if out, err := d.pub(topic, payload); err != nil {
		d.p.t.Fatalf("mosquitto_pub %s: %v\n%s", topic, err, out)
	}
}

// ask publishes a request and returns the answer on a topic below it, of one
// connection of mosquitto_rr.
func (p *process) ask(flags []string, topic, outcome, payload string) string {
	p.t.Helper()
	cmd := exec.Command(foreign.Need(p.t, "mosquitto_rr"), append(slices.Clone(flags), "-V", "mqttv311", "-t", topic, "-e", topic+"/"+outcome, "-W", "20", "-m", payload)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("mosquitto_rr %s: %v\n%s", topic, err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// publishAll sends one payload a line over one connection of mosquitto_pub.
// It fails the test unless all were acknowledged.
func (d *device) publishAll(topic string, payloads []string) {
	d.p.t.Helper()
	program := foreign.Need(d.p.t, "mosquitto_pub")
	cmd := exec.Command(program, append(d.flags(), "-t", topic, "-l")...)
	cmd.Stdin = strings.NewReader(strings.Join(payloads, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		d.p.t.Fatalf("mosquitto_pub -l %s: %v\n%s", topic, err, out)
	}
}

// sub subscribes with mosquitto_sub and returns once the subscription is
// acknowledged; the channel gives "topic payload" lines.
func (d *device) sub(filters ...string) <-chan string {
	d.p.t.Helper()
	return d.p.sub(d.flags(), filters...)
}

// sub is that of a device, with other flags.
func (p *process) sub(flags []string, filters ...string) <-chan string {
	p.t.Helper()
	return p.subFormat(flags, "%t %p", filters...)
}

// subFormat is sub with lines as mosquitto_sub makes them of a format.
func (p *process) subFormat(flags []string, format string, filters ...string) <-chan string {
	p.t.Helper()
	program := foreign.Need(p.t, "mosquitto_sub")
	args := append(slices.Clone(flags), "-d", "-F", "MSG "+format)
	for _, f := range filters {
		args = append(args, "-t", f)
	}
	// stdbuf: mosquitto_sub writes to a pipe in blocks otherwise.
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, foreign.Need(p.t, "stdbuf"), append([]string{"-oL", program}, args...)...)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	lines := make(chan string, 1000)
	subscribed := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(lines)
		var once sync.Once
		scan(pipe, func(line string) {
			if strings.HasPrefix(line, "Subscribed ") {
				once.Do(func() { close(subscribed) })
			}
			if msg, ok := strings.CutPrefix(line, "MSG "); ok {
				lines <- msg
			}
		})
	}()
	p.t.Cleanup(func() {
		cancel()
		<-done
		cmd.Wait()
	})
	select {
	case <-subscribed:
	case <-time.After(patience):
		p.t.Fatalf("mosquitto_sub %v: no subscription", filters)
	}
	return lines
}

// next is the next message, which must come.
func next(t *testing.T, lines <-chan string) string {
	t.Helper()
	select {
	case line, ok := <-lines:
		if !ok {
			t.Fatal("mosquitto_sub ended")
		}
		return line
	case <-time.After(patience):
		t.Fatal("no message")
	}
	return ""
}

// A receiver is a test HTTP server that keeps what is sent to it, as a push server would.
type receiver struct {
	*http.Server
	url    string
	bodies chan string
}

func newReceiver(t *testing.T) *receiver {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{url: "http://" + l.Addr().String(), bodies: make(chan string, 1000)}
	r.Server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		r.bodies <- string(b)
	})}
	go r.Serve(l)
	t.Cleanup(func() { r.Close() })
	return r
}

func (d *device) tlsConfig() *tls.Config {
	d.p.t.Helper()
	pair, err := tls.LoadX509KeyPair(d.cert, d.key)
	if err != nil {
		d.p.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool(d.p.t, d.ca), ServerName: "localhost"}
}

func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports
}

// A lockedBuffer may be read while the process writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

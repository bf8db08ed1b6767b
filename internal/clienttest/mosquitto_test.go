package clienttest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/internal/foreign"
)

// where are the arguments that name a server.
func where(addr string) []string {
	host, port, _ := net.SplitHostPort(addr)
	return []string{"-h", host, "-p", port}
}

// with is args with more behind, in a slice of its own.
func with(args []string, more ...string) []string { return append(slices.Clip(args), more...) }

// secure are the arguments for mutual TLS.
func (s *server) secure() []string {
	return with(where(s.tls), "--cafile", s.pki.ca, "--cert", s.pki.cert, "--key", s.pki.key)
}

// run runs program to its end and returns what it printed.
func run(t *testing.T, program string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// pub runs mosquitto_pub, which must succeed.
func pub(t *testing.T, args ...string) {
	t.Helper()
	if _, stderr, err := run(t, foreign.Need(t, "mosquitto_pub"), args...); err != nil {
		t.Fatalf("mosquitto_pub %q: %v\n%s", args, err, stderr)
	}
}

// sub starts mosquitto_sub as client and returns once it has subscribed; wait
// returns its lines when it has ended, which it does after so many messages.
func (s *server) sub(t *testing.T, client string, n int, args ...string) (wait func() []string) {
	t.Helper()
	program := foreign.Need(t, "mosquitto_sub")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	args = append([]string{"-i", client, "-C", fmt.Sprint(n), "-F", "%t|%q|%r|%p"}, args...)
	cmd := exec.CommandContext(ctx, program, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	subscribed := s.whenSubscribed(client)
	check(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(cancel)
	select {
	case <-subscribed:
	case err := <-ended: // a resumed session may bring all before the SUBSCRIBE
		if err != nil {
			t.Fatalf("mosquitto_sub %q: %v\n%s", args, err, errs.String())
		}
		ended <- nil
	}
	return func() []string {
		t.Helper()
		if err := <-ended; err != nil {
			t.Fatalf("mosquitto_sub %q: %v\n%s%s", args, err, out.String(), errs.String())
		}
		return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	}
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("received %q, want %q", got, want)
	}
}

// each runs test with both versions of the protocol, over TCP and mutual TLS.
func each(t *testing.T, test func(t *testing.T, s *server, args []string)) {
	s := start(t, vfs.NewMem())
	for _, version := range []string{"mqttv311", "mqttv5"} {
		for _, transport := range []string{"tcp", "tls"} {
			t.Run(version+"/"+transport, func(t *testing.T) {
				args := where(s.tcp)
				if transport == "tls" {
					args = s.secure()
				}
				test(t, s, with(args, "-V", version))
			})
		}
	}
}

// name is a name of its own for each subtest, in client IDs and topics.
func name(t *testing.T, s string) string {
	return s + strings.ReplaceAll(strings.TrimPrefix(t.Name(), "Test"), "/", "-")
}

func TestMosquittoPublish(t *testing.T) {
	each(t, func(t *testing.T, s *server, args []string) {
		topic := name(t, "t")
		wait := s.sub(t, name(t, "c"), 3, with(args, "-t", topic+"/+", "-q", "1")...)
		pub(t, with(args, "-t", topic+"/0", "-m", "zero", "-q", "0")...)
		pub(t, with(args, "-t", topic+"/1", "-m", "one", "-q", "1")...)
		pub(t, with(args, "-t", topic+"/1", "-n", "-q", "1")...)
		want(t, wait(), topic+"/0|0|0|zero", topic+"/1|1|0|one", topic+"/1|1|0|")
	})
}

func TestMosquittoOfflineQueue(t *testing.T) {
	each(t, func(t *testing.T, s *server, args []string) {
		topic, client := name(t, "t"), name(t, "c")
		persistent := with(args, "-c", "-t", topic, "-q", "1")
		wait := s.sub(t, client, 1, persistent...)
		pub(t, with(args, "-t", topic, "-m", "online", "-q", "1")...)
		want(t, wait(), topic+"|1|0|online")
		var lines []string
		for i := range 5 {
			pub(t, with(args, "-t", topic, "-m", fmt.Sprint(i), "-q", "1")...)
			lines = append(lines, fmt.Sprint(topic, "|1|0|", i))
		}
		pub(t, with(args, "-t", topic, "-m", "QoS 0 is not kept for certain", "-q", "0")...)
		want(t, s.sub(t, client, 5, persistent...)(), lines...)
	})
}

// TestMosquittoRestart finds the offline queue and the retained message with
// the next broker on the same store.
func TestMosquittoRestart(t *testing.T) {
	fs := vfs.NewMem()
	s := start(t, fs)
	persistent := []string{"-V", "mqttv311", "-c", "-t", "t", "-t", "r", "-q", "1"}
	wait := s.sub(t, "c", 1, with(where(s.tcp), persistent...)...)
	pub(t, with(where(s.tcp), "-t", "t", "-m", "0", "-q", "1")...)
	want(t, wait(), "t|1|0|0")
	pub(t, with(where(s.tcp), "-t", "t", "-m", "1", "-q", "1")...)
	pub(t, with(where(s.tcp), "-t", "r", "-m", "2", "-q", "1", "-r")...)
	s.stop()
	s = start(t, fs)
	pub(t, with(where(s.tcp), "-t", "t", "-m", "3", "-q", "1")...)
	want(t, s.sub(t, "other", 1, with(where(s.tcp), "-t", "r", "-q", "1")...)(), "r|1|1|2")
	got := s.sub(t, "c", 3, with(where(s.tcp), persistent...)...)()
	// The retained message may come before the queue or after it, once more.
	got = slices.DeleteFunc(got, func(line string) bool { return line == "r|1|1|2" })
	if len(got) < 2 || got[0] != "t|1|0|1" || got[1] != "r|1|0|2" {
		t.Errorf("after the restart: %q", got)
	}
}

func TestMosquittoRefused(t *testing.T) {
	s := start(t, vfs.NewMem())
	program := foreign.Need(t, "mosquitto_pub")
	_, err := s.Subscribe("#", func(_ context.Context, topic string, _ []byte) error {
		t.Errorf("a message to %q was published", topic)
		return nil
	})
	check(t, err)
	for _, test := range []struct {
		name string
		args []string
	}{
		{"no certificate", with(where(s.tls), "--cafile", s.pki.ca)},
		{"a certificate of another CA", with(where(s.tls), "--cafile", s.pki.ca, "--cert", s.pki.foreignCert, "--key", s.pki.foreignKey)},
		{"a wrong password", with(where(s.tcp), "-u", "u", "-P", "wrong")},
		{"a wrong password, MQTT 5", with(where(s.tcp), "-u", "u", "-P", "wrong", "-V", "mqttv5")},
	} {
		if _, _, err := run(t, program, with(test.args, "-t", "t", "-m", "x", "-q", "1")...); err == nil {
			t.Errorf("%s: mosquitto_pub succeeds", test.name)
		}
	}
	_, stderr, _ := run(t, program, with(where(s.tcp), "-V", "mqttv5", "-t", "forbidden/x", "-m", "x", "-q", "1")...)
	if !strings.Contains(stderr, "Not authorized") {
		t.Errorf("a forbidden topic: mosquitto_pub says %q", stderr)
	}
}

// TestMosquittoPrincipal looks at who a device is whose certificate is checked.
func TestMosquittoPrincipal(t *testing.T) {
	s := start(t, vfs.NewMem())
	pub(t, with(s.secure(), "-i", "c", "-t", "t", "-m", "x", "-q", "1")...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := s.principals["c"]; got != "device-1" {
		t.Errorf("the principal is %q, want device-1", got)
	}
}

// TestMosquittoRequestResponse has mosquitto_rr ask and our program answer.
func TestMosquittoRequestResponse(t *testing.T) {
	s := start(t, vfs.NewMem())
	program := foreign.Need(t, "mosquitto_rr")
	for _, version := range []string{"mqttv311", "mqttv5"} {
		request, response := name(t, "request-"+version), name(t, "response-"+version)
		cancel, err := s.SubscribeMessages(request, func(ctx context.Context, m broker.Message) error {
			to := m.Properties.ResponseTopic
			if version == "mqttv311" {
				to = response
			}
			return s.PublishMessage(ctx, broker.Message{Topic: to, QoS: 1, Payload: append([]byte("answer to "), m.Payload...),
				Properties: broker.Properties{CorrelationData: m.Properties.CorrelationData}})
		})
		check(t, err)
		out, stderr, err := run(t, program, with(where(s.tcp), "-V", version, "-t", request, "-e", response, "-m", "question", "-q", "2", "-W", "20")...)
		if err != nil || strings.TrimSpace(out) != "answer to question" {
			t.Errorf("%s: %q, %v\n%s", version, out, err, stderr)
		}
		cancel()
	}
}

// TestMosquittoAlias has mosquitto_pub send one message three times, the last two without a topic [MQTT-3.3.2-12].
func TestMosquittoAlias(t *testing.T) {
	s := start(t, vfs.NewMem())
	v5 := with(where(s.tcp), "-V", "mqttv5")
	wait := s.sub(t, "c", 3, with(v5, "-t", "t", "-q", "1")...)
	pub(t, with(v5, "-t", "t", "-m", "x", "-q", "1", "--repeat", "3", "-D", "publish", "topic-alias", "1")...)
	want(t, wait(), "t|1|0|x", "t|1|0|x", "t|1|0|x")
}

// TestMosquittoStatistics reads $SYS as operators of Mosquitto do.
func TestMosquittoStatistics(t *testing.T) {
	s := startWith(t, vfs.NewMem(), &broker.Options{SysInterval: time.Minute})
	want(t, s.sub(t, "c", 1, with(where(s.tcp), "-t", "$SYS/broker/clients/connected")...)(), "$SYS/broker/clients/connected|0|1|1")
}

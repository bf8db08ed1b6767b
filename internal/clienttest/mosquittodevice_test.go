package clienttest

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/foreign"
)

// A mosquittoDevice is a device of Mosquitto's programs: a mosquitto_sub that runs while the device has subscriptions,
// and a mosquitto_pub for each message.
type mosquittoDevice struct {
	s    *server
	c    connection
	in   *inbox
	args []string // of its subscriptions

	cmd   *exec.Cmd
	ended chan struct{}
	errs  bytes.Buffer
}

func (s *server) connectMosquitto(t *testing.T, c connection) (device, connack) {
	return &mosquittoDevice{s: s, c: c, in: newInbox()}, connack{}
}

func (one *mosquittoDevice) box() *inbox { return one.in }

// common are the arguments of both programs.
func (one *mosquittoDevice) common() []string {
	if one.c.Version == 4 {
		return with(where(one.c.Address), "-V", "mqttv311")
	}
	return with(where(one.c.Address), "-V", "mqttv5")
}

// What mosquitto_sub prints of a message.
const mosquittoFormat = "%t\t%q\t%r\t%C\t%R\t%D\t%P\t%E\t%F\t%S\t%A\t%p"

func (one *mosquittoDevice) subscribe(t *testing.T, identifier int, filters ...filter) (codes []int) {
	t.Helper()
	if one.cmd != nil {
		one.leave(t)
	}
	for _, f := range filters {
		one.args = append(one.args, "-t", f.Filter, "-q", fmt.Sprint(f.QoS))
		if f.RetainAsPublished {
			one.args = append(one.args, "--retain-as-published")
		}
		codes = append(codes, int(f.QoS))
	}
	if identifier > 0 {
		one.args = append(one.args, "-D", "subscribe", "subscription-identifier", fmt.Sprint(identifier))
	}
	one.run(t)
	return codes
}

// run starts mosquitto_sub and returns once it has subscribed.
func (one *mosquittoDevice) run(t *testing.T) {
	t.Helper()
	args := append(one.common(), "-F", mosquittoFormat, "-i", one.c.ClientID)
	if !one.c.Clean {
		args = append(args, "-c")
	}
	if one.c.Version == 5 {
		args = append(args, "-x", fmt.Sprint(one.c.SessionExpiry))
	}
	for name, n := range map[string]int{"receive-maximum": one.c.ReceiveMaximum, "maximum-packet-size": one.c.MaximumPacketSize,
		"topic-alias-maximum": one.c.TopicAliasMaximum} {
		if n > 0 {
			args = append(args, "-D", "connect", name, fmt.Sprint(n))
		}
	}
	if w := one.c.Will; w != nil {
		args = append(args, "--will-topic", w.Topic, "--will-payload", w.Payload, "--will-qos", fmt.Sprint(w.QoS))
		if w.Delay > 0 {
			args = append(args, "-D", "will", "will-delay-interval", fmt.Sprint(w.Delay))
		}
	}
	cmd := exec.CommandContext(t.Context(), foreign.Need(t, "mosquitto_sub"), append(args, one.args...)...)
	cmd.Stderr = &one.errs
	out, err := cmd.StdoutPipe()
	check(t, err)
	subscribed := one.s.nextSubscribed(one.c.ClientID)
	check(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			one.in.messages <- mosquittoMessage(lines.Text())
		}
		_ = cmd.Wait() // it ends as the test wants it to
	}()
	one.cmd, one.ended = cmd, ended
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	select {
	case <-subscribed:
	case <-ended:
		t.Fatalf("mosquitto_sub %q ends: %s", cmd.Args, one.errs.String())
	}
}

func mosquittoMessage(line string) message {
	f := strings.SplitN(line, "\t", 12)
	number := func(i int) int { n, _ := strconv.Atoi(f[i]); return n } // nothing is 0
	m := message{Topic: f[0], QoS: byte(number(1)), Retain: f[2] == "1", ContentType: f[3], ResponseTopic: f[4], Correlation: f[5],
		Expiry: number(7), Text: jsonByte(number(8)), Alias: number(10), Payload: f[11]}
	for _, pair := range strings.Fields(f[6]) {
		name, value, _ := strings.Cut(pair, ":")
		m.User = append(m.User, [2]string{name, value})
	}
	if id := number(9); id > 0 {
		m.Identifiers = []int{id}
	}
	return m
}

// unsubscribe has a next mosquitto_sub do it; the session must outlive the first.
func (one *mosquittoDevice) unsubscribe(t *testing.T, filter string) {
	t.Helper()
	one.leave(t)
	for i, arg := range one.args {
		if arg == filter {
			one.args[i-1] = "-U"
		}
	}
	one.run(t)
}

func (one *mosquittoDevice) publish(t *testing.T, m message) int {
	t.Helper()
	args := append(one.common(), "-t", m.Topic, "-m", m.Payload, "-q", fmt.Sprint(m.QoS))
	if m.Payload == "" {
		args = append(one.common(), "-t", m.Topic, "-n", "-q", fmt.Sprint(m.QoS))
	}
	if len(m.Payload) > 1<<16 { // more than an argument may have
		file := t.TempDir() + "/payload"
		check(t, os.WriteFile(file, []byte(m.Payload), 0o600))
		args = append(one.common(), "-t", m.Topic, "-f", file, "-q", fmt.Sprint(m.QoS))
	}
	if m.Retain {
		args = append(args, "-r")
	}
	for name, value := range map[string]string{"content-type": m.ContentType, "response-topic": m.ResponseTopic, "correlation-data": m.Correlation} {
		if value != "" {
			args = append(args, "-D", "publish", name, value)
		}
	}
	for name, n := range map[string]int{"message-expiry-interval": m.Expiry, "payload-format-indicator": int(m.Text), "topic-alias": m.Alias} {
		if n > 0 {
			args = append(args, "-D", "publish", name, fmt.Sprint(n))
		}
	}
	for _, u := range m.User {
		args = append(args, "-D", "publish", "user-property", u[0], u[1])
	}
	_, stderr, err := run(t, foreign.Need(t, "mosquitto_pub"), args...)
	if strings.Contains(stderr, "Not authorized") {
		return 0x87
	}
	if err != nil {
		t.Fatalf("mosquitto_pub %q: %v\n%s", args, err, stderr)
	}
	return 0
}

// leave is not in order: on a signal mosquitto_sub says DISCONNECT in its handler, where it may wait for a lock that it
// has. How it leaves after -C messages is in TestMosquittoOfflineQueue.
func (one *mosquittoDevice) leave(t *testing.T) {
	t.Helper()
	one.kill(t)
	one.cmd = nil
}

func (one *mosquittoDevice) kill(t *testing.T) {
	t.Helper()
	check(t, one.cmd.Process.Kill())
	<-one.ended
}

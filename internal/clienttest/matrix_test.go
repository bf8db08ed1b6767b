package clienttest

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/internal/foreign"
)

// A kind is a foreign client: a program or library with a version of MQTT and a transport.
type kind struct {
	name    string
	version byte
	secure  bool // over mutual TLS
	ws      bool
	maxQoS  byte
	// open has it ready to connect, until t ends.
	open func(t *testing.T, s *server) func(*testing.T, connection) (device, connack)
}

func mosquitto(_ *testing.T, s *server) func(*testing.T, connection) (device, connack) {
	return s.connectMosquitto
}

func pahoGolang(*testing.T, *server) func(*testing.T, connection) (device, connack) {
	return connectPaho
}

func pythonPaho(t *testing.T, s *server) func(*testing.T, connection) (device, connack) {
	python := foreign.NeedPython(t, "paho.mqtt.client")
	file, err := filepath.Abs("testdata/device.py")
	check(t, err)
	return s.driver("python", func() *driver { return drive(t, t.TempDir(), python, file) }).connect
}

// node is a library under Node.js: mqtt, awsv1 or awsv2.
func node(library, npm string) func(t *testing.T, s *server) func(*testing.T, connection) (device, connack) {
	return func(t *testing.T, s *server) func(*testing.T, connection) (device, connack) {
		dir, program := foreign.NeedNPM(t, npm), foreign.Need(t, "node")
		file, err := filepath.Abs("testdata/device.js")
		check(t, err)
		return s.driver(library, func() *driver {
			return drive(t, dir, program, file, library, s.pki.ca, s.pki.cert, s.pki.key)
		}).connect
	}
}

var kinds = []kind{
	{name: "mosquitto 3.1.1", version: 4, maxQoS: 2, open: mosquitto},
	{name: "mosquitto 5", version: 5, maxQoS: 2, open: mosquitto},
	{name: "mqtt.js 3.1.1", version: 4, maxQoS: 2, open: node("mqtt", "mqtt")},
	{name: "mqtt.js 3.1.1 WebSocket", version: 4, ws: true, maxQoS: 2, open: node("mqtt", "mqtt")},
	{name: "mqtt.js 5", version: 5, maxQoS: 2, open: node("mqtt", "mqtt")},
	{name: "mqtt.js 5 WebSocket", version: 5, ws: true, maxQoS: 2, open: node("mqtt", "mqtt")},
	{name: "paho.golang 5", version: 5, maxQoS: 2, open: pahoGolang},
	{name: "Python paho 3.1.1", version: 4, maxQoS: 2, open: pythonPaho},
	{name: "Python paho 3.1.1 WebSocket", version: 4, ws: true, maxQoS: 2, open: pythonPaho},
	{name: "Python paho 5", version: 5, maxQoS: 2, open: pythonPaho},
	{name: "Python paho 5 WebSocket", version: 5, ws: true, maxQoS: 2, open: pythonPaho},
	{name: "AWS SDK v1", version: 4, secure: true, maxQoS: 1, open: node("awsv1", "aws-iot-device-sdk")},
	{name: "AWS SDK v2 3.1.1", version: 4, secure: true, maxQoS: 1, open: node("awsv2", "aws-iot-device-sdk-v2")},
	{name: "AWS SDK v2 5", version: 5, secure: true, maxQoS: 1, open: node("awsv2", "aws-iot-device-sdk-v2")},
}

// A feature is a row of the matrix. Every kind has it but those with a version below, and those that cannot: by the
// beginning of their name, why.
type feature struct {
	name   string
	since  byte // 5, or 0 for both versions
	run    func(c *cell)
	cannot map[string]string
}

const (
	notTold  = "the programs do not print it"
	subOnly  = "mosquitto_sub has no option for it"
	awsQoS   = "AWS IoT and its SDKs have no QoS 2"
	pyNoCode = "paho 1.6 does not tell its callback the code"
)

// The matrix: what each foreign client does against the broker, and where one does not, why.
var features = []feature{
	{name: "QoS 0 and 1, both ways", run: qos01},
	{name: "QoS 2, both ways", run: qos2, cannot: map[string]string{"AWS": awsQoS}},
	{name: "an empty payload", run: empty, cannot: map[string]string{"AWS SDK v2": "it ends with «Cannot perform Construct on a detached ArrayBuffer»"}},
	{name: "a payload of 200,000 bytes", run: large, cannot: map[string]string{"AWS": "AWS IoT has 128 KiB, which the SDK v2 checks"}},
	{name: "wildcards and unsubscribing", run: unsubscribing},
	{name: "retained messages", run: retained},
	{name: "retain handling", since: 5, run: retainHandling, cannot: map[string]string{"mosquitto": subOnly}},
	{name: "retain as published", since: 5, run: retainAsPublished},
	{name: "no local", since: 5, run: noLocal, cannot: map[string]string{"mosquitto": subOnly}},
	{name: "a resumed session with queued messages", run: resumed},
	{name: "a session that ends with its connection", since: 5, run: unresumed, cannot: map[string]string{"mosquitto": notTold}},
	{name: "a will", run: willSent, cannot: map[string]string{"AWS SDK v2 3.1.1": "it has no way to end without DISCONNECT"}},
	{name: "a will with a delay", since: 5, run: willDelayed},
	{name: "shared subscriptions", run: shared},
	{name: "message expiry", since: 5, run: expiry},
	{name: "topic aliases of the client", since: 5, run: aliasIn, cannot: map[string]string{
		"mosquitto": "mosquitto_pub has one message a connection, or one and the same: TestMosquittoAlias",
		"Python":    "paho 1.6 refuses to publish without a topic"}},
	{name: "topic aliases of the broker", since: 5, run: aliasOut, cannot: map[string]string{
		"Python": "paho 1.6 does not keep them", "mosquitto": "libmosquitto 2.0 does not keep them"}},
	{name: "user properties and what else goes with a message", since: 5, run: properties},
	{name: "request and response", since: 5, run: requestResponse},
	{name: "subscription identifiers", since: 5, run: identifiers},
	{name: "receive maximum", since: 5, run: receiveMaximum},
	{name: "maximum packet size", since: 5, run: maximumPacketSize},
	{name: "an assigned client id", since: 5, run: assigned, cannot: map[string]string{"mosquitto": notTold, "AWS": "the SDK makes one up itself"}},
	{name: "a connection that is taken over", run: takenOver, cannot: map[string]string{"mosquitto": "mosquitto_sub connects again, and takes over in turn"}},
	{name: "the reason of the broker's DISCONNECT", since: 5, run: disconnected, cannot: map[string]string{
		"mosquitto": notTold, "Python": "paho 1.6 reads it only if properties follow"}},
	{name: "a refused connection", run: refused, cannot: map[string]string{
		"mosquitto": "its publish fails instead: TestMosquittoRefused", "AWS": "it has certificates and no password"}},
	{name: "a subscription that is not authorized", run: forbiddenSubscription, cannot: map[string]string{"mosquitto": notTold}},
	{name: "a publish that is not authorized", since: 5, run: forbiddenPublish, cannot: map[string]string{"Python": pyNoCode}},
}

// reason is why k does not have f, or "".
func (f *feature) reason(k *kind) string {
	if k.version < f.since {
		return "MQTT 3.1.1 does not have it"
	}
	for prefix, why := range f.cannot {
		if strings.HasPrefix(k.name, prefix) {
			return why
		}
	}
	return ""
}

// TestMatrix runs every feature with every client that has it, all against one broker.
func TestMatrix(t *testing.T) {
	s := start(t, vfs.NewMem())
	for i := range kinds {
		k := &kinds[i]
		connect := k.open(t, s)
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			for j, f := range features {
				if f.reason(k) != "" {
					continue
				}
				t.Run(f.name, func(t *testing.T) {
					t.Parallel()
					f.run(&cell{t, s, k, connect, fmt.Sprintf("c%d-%d", i, j)})
				})
			}
		})
	}
}

// TestMatrixReasons keeps reasons from outliving what they were for.
func TestMatrixReasons(t *testing.T) {
	for _, f := range features {
		for prefix := range f.cannot {
			if !slices.ContainsFunc(kinds, func(k kind) bool { return k.version >= f.since && strings.HasPrefix(k.name, prefix) }) {
				t.Errorf("%s: no client is called %s", f.name, prefix)
			}
		}
	}
}

// A cell is one feature with one client.
type cell struct {
	*testing.T
	s       *server
	kind    *kind
	connect func(*testing.T, connection) (device, connack)
	id      string // of its topics and client ids
}

func (c *cell) topic(name string) string { return c.id + "/" + name }

// device connects one as o says, clean unless it has a session expiry or 3.1.1 is to resume.
func (c *cell) device(name string, o connection) device {
	c.Helper()
	d, ack := c.connects(name, o)
	if ack.Code != 0 {
		c.Fatalf("%s is refused with %#x", name, ack.Code)
	}
	return d
}

func (c *cell) connects(name string, o connection) (device, connack) {
	c.Helper()
	o.Version = c.kind.version
	if name != "" {
		o.ClientID = c.id + "-" + name
	}
	switch {
	case c.kind.secure:
		o.Address = c.s.tls
		_, port, err := net.SplitHostPort(o.Address)
		check(c.T, err)
		o.Address = "localhost:" + port
	case c.kind.ws:
		o.Address = c.s.ws
	default:
		o.Address = c.s.tcp
		if !strings.HasPrefix(c.kind.name, "mosquitto") && !strings.HasPrefix(c.kind.name, "paho.golang") {
			o.Address = (&url.URL{Scheme: "mqtt", Host: c.s.tcp}).String()
		}
	}
	return c.connect(c.T, o)
}

// clean and persistent are the two kinds of sessions.
var (
	clean      = connection{Clean: true}
	persistent = connection{SessionExpiry: 3600}
)

// gets takes as many messages as want has, and compares; the order counts.
func (c *cell) gets(d device, want ...message) []message {
	c.Helper()
	got := d.box().next(c.T, len(want))
	for i := range want {
		if got[i].Topic != want[i].Topic || got[i].Payload != want[i].Payload || got[i].QoS != want[i].QoS || got[i].Retain != want[i].Retain {
			c.Errorf("message %d is %+v, want %+v", i, got[i], want[i])
		}
	}
	return got
}

func (c *cell) texts(ms []message) (all []string) {
	for _, m := range ms {
		all = append(all, m.Payload)
	}
	return all
}

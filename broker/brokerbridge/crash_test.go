package brokerbridge_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerbridge"
	"github.com/thingloom/thingloom/broker/brokerpebble"
)

// A machine is a broker on a disk, whose power can be cut.
type machine struct {
	t     *testing.T
	fs    *vfs.MemFS
	db    *pebble.DB
	store *brokerpebble.Store
	b     *broker.Broker
	addr  string
	stop  func()
}

// boot starts a machine that keeps what matches filter for a client that never comes.
func boot(t *testing.T, filter string) *machine {
	m := &machine{t: t, fs: vfs.NewCrashableMem()}
	m.open()
	check(t, m.store.SaveSession(t.Context(), broker.Session{ClientID: "keeper", Version: 5, Expiry: time.Hour, Disconnected: time.Now(),
		Subscriptions: []broker.Subscription{{Filter: filter, QoS: 1}}}))
	m.serve()
	return m
}

func (m *machine) open() {
	m.t.Helper()
	var err error
	m.db, err = pebble.Open("db", &pebble.Options{FS: m.fs, Logger: silent{m.t}})
	check(m.t, err)
	m.store, err = brokerpebble.Open(m.t.Context(), m.db, "b/", &brokerpebble.Options{TrimEvery: 5, DequeueEvery: 3})
	check(m.t, err)
}

func (m *machine) serve() {
	m.b = newBroker(m.t, m.store)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(m.t, err)
	m.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- m.b.Serve(ctx, l) }()
	m.stop = func() { cancel(); <-served; check(m.t, m.db.Close()) }
}

// cut takes the disk as it is without power, torn writes included. Whoever it says something to afterwards must not hear it.
func (m *machine) cut(rng *rand.Rand) (disk *vfs.MemFS) {
	return m.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
}

// kept is what the keeper has waiting.
func (m *machine) kept() (all []string) {
	for q, err := range m.store.Queue(m.t.Context(), "keeper", 0) {
		check(m.t, err)
		all = append(all, q.Message.Topic+" "+string(q.Message.Payload))
	}
	return all
}

type silent struct{ t *testing.T }

func (silent) Infof(string, ...any)                {}
func (silent) Errorf(string, ...any)               {}
func (s silent) Fatalf(format string, args ...any) { s.t.Errorf(format, args...) }

// TestBridgeSurvivesCrashes cuts the power of our machine and of the remote one, again and again, while messages are on
// their way in both directions, under wildcards. Each that was acknowledged where it was published arrives on the other side's
// disk, in order of first arrival for each topic, and none comes back.
func TestBridgeSurvivesCrashes(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 0))
		ours, remote := boot(t, "#"), boot(t, "#")
		l := &link{addr: remote.addr}
		o := brokerbridge.Options{PublishTimeout: time.Second,
			Out: []brokerbridge.Route{{Filter: "up/+/x", Remote: "site/"}, {Filter: "both/#"}},
			In:  []brokerbridge.Route{{Filter: "down/#", Remote: "site/"}, {Filter: "both/#"}}}
		br, stop := bridge(t, ours.b, l, o)
		ready(t, br, true)
		until(t, "the remote subscriptions", func() bool {
			subs, _ := remote.b.Subscriptions(brokerID(remote.b))
			return len(subs) == 2
		})

		var here, there []string // what was acknowledged, by side
		publish := func(m *machine, list *[]string, topic string) {
			text := fmt.Sprint(len(here) + len(there))
			check(t, m.b.Publish(t.Context(), topic, []byte(text)))
			*list = append(*list, topic+" "+text)
		}
		for round := range 6 {
			for range 5 + rng.IntN(40) {
				publish(ours, &here, []string{"up/1/x", "up/2/x", "both/a/b"}[rng.IntN(3)])
				publish(remote, &there, []string{"site/down/a", "site/down/a/b", "both/c"}[rng.IntN(3)])
			}
			if rng.IntN(2) == 0 { // else hardly anything is under way
				until(t, "one to be there", func() bool { return br.Stats().Out > 0 })
			}
			l.cut(true)
			if (round+int(seed))%2 == 0 {
				disk := ours.cut(rng)
				stop()
				ours.stop()
				ours.fs = disk
				ours.open()
				ours.serve()
				br, stop = bridge(t, ours.b, l, o)
			} else {
				disk := remote.cut(rng)
				remote.stop()
				remote.fs = disk
				remote.open()
				remote.serve()
				l.addr = remote.addr
			}
			publish(ours, &here, "up/1/x") // while the link is down
			publish(remote, &there, "site/down/a")
			l.cut(false)
		}
		arrives := func(m *machine, sent []string, prefix string) func() bool {
			return func() bool {
				got := m.kept()
				for _, text := range sent {
					if !slices.Contains(got, prefix+text) {
						return false
					}
				}
				return true
			}
		}
		strip := func(list []string, prefix, becomes string) (out []string) {
			for _, text := range list {
				if len(text) > len(prefix) && text[:len(prefix)] == prefix {
					text = becomes + text[len(prefix):]
				}
				out = append(out, text)
			}
			return out
		}
		outward, inward := strip(here, "up/", "site/up/"), strip(there, "site/down/", "down/")
		until(t, "all that went out", arrives(remote, outward, ""))
		until(t, "all that came in", arrives(ours, inward, ""))
		stop()
		ordered(t, "the remote", remote.kept(), append(slices.Clone(outward), there...))
		ordered(t, "our broker", ours.kept(), append(slices.Clone(here), inward...))
		once(t, "our broker", ours.kept(), here)
		once(t, "the remote", remote.kept(), there)
		ours.stop()
		remote.stop()
	}
}

// once wants what was published at a side to be there once: none has come back.
func once(t *testing.T, where string, got, want []string) {
	t.Helper()
	n := map[string]int{}
	for _, text := range got {
		n[text]++
	}
	for _, text := range want {
		if n[text] != 1 {
			t.Errorf("%s has its own %q %d times", where, text, n[text])
		}
	}
}

// brokerID is the client id that the bridge has in the remote.
func brokerID(remote *broker.Broker) string {
	for c := range remote.Clients() {
		if c.ClientID != "keeper" {
			return c.ClientID
		}
	}
	return ""
}

// ordered wants each of the messages of a topic first in the order in which they were published, and no other ones.
func ordered(t *testing.T, where string, got, want []string) {
	t.Helper()
	first := map[string][]string{} // by topic, each message once
	seen := map[string]bool{}
	for _, text := range got {
		if !slices.Contains(want, text) {
			t.Errorf("%s has %q, which is not for it", where, text)
		}
		if !seen[text] {
			seen[text] = true
			first[topicOf(text)] = append(first[topicOf(text)], text)
		}
	}
	wanted := map[string][]string{}
	for _, text := range want {
		wanted[topicOf(text)] = append(wanted[topicOf(text)], text)
	}
	for topic, list := range wanted {
		if !slices.Equal(first[topic], list) {
			t.Errorf("%s: %s came as %q, want %q", where, topic, first[topic], list)
		}
	}
}

func topicOf(text string) (topic string) {
	_, err := fmt.Sscan(text, &topic)
	if err != nil {
		panic(err)
	}
	return topic
}

// TestForeignBrokerIsKilled: what a foreign broker has not acknowledged goes to its next process, and the bridge subscribes
// there again, though that knows nothing of it.
func TestForeignBrokerIsKilled(t *testing.T) {
	run, addr := mosquittoOn(t)
	kill := run()
	b := newBroker(t, broker.NewMemStore())
	br, _ := bridge(t, b, &link{addr: addr}, brokerbridge.Options{PublishTimeout: time.Second,
		Out: []brokerbridge.Route{{Filter: "up/#"}}, In: []brokerbridge.Route{{Filter: "down/+"}}})
	ready(t, br, true)
	mine := here(t, b, "down/+")
	for i := range 100 {
		check(t, b.Publish(t.Context(), "up/a", []byte(fmt.Sprint(i))))
		if i == 50 {
			kill()
		}
	}
	run()
	client, got := there(t, addr, "up/#")
	check(t, b.Publish(t.Context(), "up/a", []byte("last")))
	until(t, "the last one", func() bool { return slices.Contains(got.all(), "up/a last") })
	until(t, "all acknowledgements", func() bool { return br.Stats().Out == 101 })
	until(t, "the subscription", func() bool {
		check(t, client.Publish(t.Context(), "down/a", []byte("hello")))
		return slices.Contains(mine.all(), "down/a hello")
	})
}

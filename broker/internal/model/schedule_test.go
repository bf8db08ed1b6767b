package model

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	topics  = []string{"a", "a/b", "a/c", "b/b", "c", "b/c"}
	filters = []string{"a", "a/b", "a/+", "a/#", "#", "+/b", "c", "b/c", "r/a", "r/+"}
)

const groupFilter = "$share/g/+/b"

// A step is one thing that happens. One that makes no sense where it stands does nothing, so that any part of a schedule is one.
type step struct {
	kind   string
	client int
	text   string // topic or filter
	qos    byte
	n      int
	flag   bool
	settle bool // wait until nothing moves any more
}

func (s step) String() string {
	return fmt.Sprintf("{%q, %d, %q, %d, %d, %v, %v},", s.kind, s.client, s.text, s.qos, s.n, s.flag, s.settle)
}

const clients, members = 8, 3 // the members of the shared subscription come on top

// kinds of steps, as often as they stand here.
var kinds = []string{"connect", "connect", "connect", "connect", "clean", "clean", "cut", "cut", "leave", "forget", "partWith",
	"subscribe", "subscribe", "subscribe", "unsubscribe", "publish", "publish", "publish", "publish", "publish", "publish", "publish", "retain", "retain",
	"deaf", "hear", "silent", "silent", "speak", "sleep", "crash", "restart"}

// plan makes a schedule.
func plan(rng *rand.Rand) []step {
	var all []step
	for c := range clients + members { // so that there is something going on from the beginning
		s := step{kind: "connect", client: c}
		s.bequeath(rng)
		all = append(all, s)
		if rng.IntN(2) == 0 || c >= clients {
			all = append(all, step{kind: "subscribe", client: c, text: filters[rng.IntN(len(filters))]})
		}
	}
	crashes := 0
	for range 30 + rng.IntN(120) {
		s := step{kind: kinds[rng.IntN(len(kinds))], client: rng.IntN(clients + members), flag: rng.IntN(2) == 0, settle: rng.IntN(3) == 0}
		switch s.kind {
		case "connect", "clean":
			s.bequeath(rng)
		case "retain":
			s.text, s.qos = retainedTopics[rng.IntN(len(retainedTopics))], byte(rng.IntN(3))
		case "subscribe", "unsubscribe":
			s.text = filters[rng.IntN(len(filters))]
		case "publish":
			s.text, s.qos, s.n = topics[rng.IntN(len(topics))], byte(rng.IntN(3)), 1+rng.IntN(20)
		case "sleep":
			s.n = []int{1, 10, 1000, 10_000, 290_000, 310_000}[rng.IntN(6)]
		case "crash":
			if s.n = 1 + rng.IntN(40); crashes == 4 {
				continue
			}
			crashes++
		}
		all = append(all, s)
	}
	return all
}

// bequeath gives a CONNECT a will, or none.
func (s *step) bequeath(rng *rand.Rand) {
	if rng.IntN(2) == 0 {
		return
	}
	s.text, s.qos, s.flag = topics[rng.IntN(len(topics))], byte(rng.IntN(3)), rng.IntN(3) == 0
	if s.flag {
		s.text = retainedTopics[rng.IntN(len(retainedTopics))]
	}
	s.n = []int{0, 0, 5, 20, 400}[rng.IntN(5)]
}

// run runs a schedule in a bubble and returns the world, with what was wrong and what the clients saw. A power cut that does not come by
// itself comes after patience steps.
func run(seed uint64, steps []step, patience int) *world {
	w := &world{began: time.Now()}
	w.cond = sync.NewCond(&w.mu)
	w.populate(seed)
	srv, err := boot(vfs.NewCrashableMem())
	if err != nil {
		w.faults = append(w.faults, err.Error())
		return w
	}
	w.srv = srv
	waited := 0
	for i, s := range steps {
		w.mu.Lock()
		w.outstanding()
		w.mu.Unlock()
		w.do(s, i)
		if s.settle {
			synctest.Wait()
		}
		if w.srv.fuse.Load() > 0 {
			if waited++; waited > patience {
				w.srv.cut()
			}
		}
		if w.srv.dead.Load() {
			waited = 0
			w.reboot("crash")
		}
		if len(w.faults) > 0 {
			break
		}
	}
	w.unspent = w.srv.fuse.Load() > 0
	w.finish()
	return w
}

// populate makes the clients of a seed.
func (w *world) populate(seed uint64) []*client {
	rng := rand.New(rand.NewPCG(seed, 1)) // the clients are the same whatever is left of the steps
	for i := range clients + members {
		c := &client{w: w, id: fmt.Sprint("c", i), v: byte(4 + rng.IntN(2)), persistent: rng.IntN(3) > 0, qos: map[string]byte{}}
		if c.v == 5 {
			c.window = []uint16{0, 1, 3, 20}[rng.IntN(4)]
		}
		for _, f := range filters {
			c.qos[f] = byte(rng.IntN(3))
		}
		if i >= clients {
			c.id, c.member, c.persistent = fmt.Sprint("g", i-clients), true, true
			c.qos[groupFilter] = 1 + byte(seed%2)
		}
		w.clients = append(w.clients, c)
	}
	return w.clients
}

// do does one step.
func (w *world) do(s step, i int) {
	c := w.clients[s.client]
	filter := s.text
	if c.member {
		filter = groupFilter
	}
	switch s.kind {
	case "connect":
		c.connect(false, s)
		return
	case "clean":
		c.connect(true, s)
		return
	case "sleep":
		time.Sleep(time.Duration(s.n) * time.Millisecond)
		return
	case "restart":
		w.reboot("restart")
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch s.kind {
	case "cut":
		c.cut(false, false)
	case "leave":
		c.cut(true, false)
	case "forget":
		c.cut(true, true)
	case "partWith":
		c.partWith()
	case "subscribe":
		c.subscribe(filter, false)
	case "unsubscribe":
		c.subscribe(filter, true)
	case "publish":
		expiry := uint32(0)
		if c.v == 5 && s.flag && s.n%4 == 0 {
			expiry = 5
		}
		for range s.n {
			c.publish(&message{topic: s.text, qos: s.qos, expiry: expiry})
		}
	case "retain":
		c.publish(&message{topic: s.text, qos: s.qos, retain: true, clears: s.flag})
	case "deaf":
		if c.deaf = true; c.link != nil {
			c.link.everDeaf = true
			c.link.mayEnd()
		}
	case "hear":
		c.deaf = false
	case "silent":
		if c.silent = true; c.link != nil {
			c.link.mayEnd()
		}
	case "speak":
		c.speak()
	case "crash":
		w.srv.torn = s.n * 37 % 101
		w.srv.rng = rand.New(rand.NewPCG(uint64(i), 3))
		w.srv.fuse.Store(int64(s.n))
	}
	w.cond.Broadcast()
}

// reboot ends the process, in order or not, and starts another one.
func (w *world) reboot(how string) {
	w.mu.Lock()
	w.logf("---- %s", how)
	for _, c := range w.clients {
		if c.link != nil {
			c.link.expected = true
			c.link.mayEnd()
			if c.deaf || w.srv.dead.Load() { // else the broker says goodbye, and is heard
				c.cut(false, false)
			}
		}
	}
	srv := w.srv
	w.mu.Unlock()
	fs, err := srv.halt()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.fault("close: %v", err)
	}
	w.crashes++
	next, err := boot(fs)
	if err != nil {
		w.fault("%s: %v", how, err)
		panic(err)
	}
	w.srv = next
	w.rebooted()
	for _, c := range w.clients {
		c.goneLast = time.Now() // a session that was cut counts from here
	}
}

// finish lets everybody have what is owed to them, and looks at what they have.
func (w *world) finish() {
	w.mu.Lock()
	for _, c := range w.clients {
		c.deaf = false
		c.speak()
	}
	w.srv.fuse.Store(-1)
	w.cond.Broadcast()
	w.mu.Unlock()
	if w.srv.dead.Load() {
		w.reboot("crash")
	}
	for range 2 {
		for _, c := range w.clients {
			w.mu.Lock()
			away := c.link == nil
			w.mu.Unlock()
			if away && c.persistent {
				c.connect(false, step{})
			}
		}
		time.Sleep(20 * time.Second)
	}
	w.retained()
	w.mu.Lock()
	w.outstanding()
	if len(w.faults) == 0 {
		for _, c := range w.clients {
			if len(c.out) > 0 && c.link != nil {
				w.fault("%s has %d publishes under way, m%d first", c.id, len(c.out), c.out[0].m.n)
			}
		}
		w.missing()
		st := w.srv.b.Stats()
		if st.Panics > 0 || st.StoreErrors > 0 {
			w.fault("%d panics, %d errors of the store", st.Panics, st.StoreErrors)
		}
		for info := range w.srv.b.Clients() {
			if info.Connected && info.Queued != 0 {
				w.fault("%s: %d messages are still queued, %d bytes", info.ClientID, info.Queued, info.QueuedBytes)
			}
		}
	}
	for _, c := range w.clients {
		c.cut(false, false)
	}
	srv := w.srv
	w.mu.Unlock()
	if _, err := srv.halt(); err != nil {
		w.faults = append(w.faults, "close: "+err.Error())
	}
	synctest.Wait()
}

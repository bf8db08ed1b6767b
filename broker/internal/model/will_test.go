package model

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestWillOutlivesPowerCuts: a client that got its CONNACK has a will that its peers get, wherever the power
// goes: at each write of the database while it connects, or while another connection of it begins anew, and again at each while
// the next process publishes the will.
func TestWillOutlivesPowerCuts(t *testing.T) {
	for _, c := range []willCase{
		{v: 4}, {v: 4, session: true}, {v: 5}, {v: 5, session: true},
		{v: 4, next: clean}, {v: 4, session: true, next: clean}, {v: 5, next: clean}, {v: 5, session: true, next: clean},
		{v: 5, session: true, next: cleanWithSession}, {v: 5, session: true, next: clean, away: true},
		{v: 5, session: true, next: cleanWithSession, away: true}, {v: 5, session: true, next: resumed},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			cuts := 0
			for c.first, c.second = 1, 0; ; c.first++ {
				if untouched, _ := c.play(t); untouched {
					break
				}
				cuts++
			}
			c.first = 0
			for c.second = 1; ; c.second++ {
				if _, untouched := c.play(t); untouched {
					break
				}
				cuts++
			}
			if least := 4; cuts < least && c.next == nothing || cuts < 2 {
				t.Errorf("the power went only %d times", cuts)
			}
		})
	}
}

// What the client does after its connection with a will.
const (
	nothing          = iota
	clean            // connects again, without a session
	cleanWithSession // with a new session
	resumed          // with the old one
)

// A willCase says at which write the power of the first process goes and of the second; 0 is at none, but in the end.
type willCase struct {
	v             byte
	session       bool
	next          int
	away          bool // the client is not connected when it connects again, and its will waits
	first, second int64
}

// play reports of both whether they came to their end before that write.
func (c willCase) play(t *testing.T) (first, second bool) {
	synctest.Test(t, func(t *testing.T) {
		srv := c.boot(t, vfs.NewCrashableMem())
		keep := uint32(0)
		if c.v == 5 {
			keep = 300
		}
		watch := c.dial(t, srv)
		watch.say(connectFrame(c.v, "watch", false, keep, 0, nil))
		watch.hear(connack)
		watch.say(frame(0x82, u16(1), props(c.v), str("w"), []byte{1}))
		watch.hear(suback)
		_ = watch.nc.Close()
		synctest.Wait()

		if c.first > 0 && c.next == nothing {
			srv.fuse.Store(c.first)
		}
		const will, cleanStart = 0x04 | 0x08, 0x02 // at QoS 1
		flags, expiry, delay := byte(will|cleanStart), []byte(nil), []byte(nil)
		if c.session && c.v == 5 {
			expiry = append([]byte{0x11}, u32(300)...)
		} else if c.session {
			flags = will
		}
		if c.away {
			delay = append([]byte{0x18}, u32(100)...)
		}
		p := c.dial(t, srv)
		p.say(frame(0x10, str("MQTT"), []byte{c.v, flags}, u16(0), props(c.v, expiry), str("dev"), props(c.v, delay), str("w"), str("bye")))
		connected := c.hears(t, srv, p)
		if c.away {
			_ = p.nc.Close()
			synctest.Wait()
		}
		if c.next != nothing {
			if c.first > 0 {
				srv.fuse.Store(c.first)
			}
			keep := uint32(0)
			if c.next != clean {
				keep = 300
			}
			go func() { // it is told that it was taken over
				for {
					if _, err := readPacket(p.r); err != nil {
						return
					}
				}
			}()
			q := c.dial(t, srv)
			q.say(connectFrame(c.v, "dev", c.next != resumed, keep, 0, nil))
			c.hears(t, srv, q)
			defer q.nc.Close()
		}
		first = !srv.dead.Load()
		srv = c.reboot(t, srv)
		_ = p.nc.Close()

		if c.second > 0 {
			srv.fuse.Store(c.second)
		}
		time.Sleep(5 * time.Second)
		second = !srv.dead.Load()
		srv = c.reboot(t, srv)

		watch = c.dial(t, srv)
		watch.say(connectFrame(c.v, "watch", false, keep, 0, nil))
		if k := watch.hear(connack); k.body[0] != 1 {
			t.Errorf("%+v: the session is gone", c)
		}
		came := make(chan int)
		go func() {
			n := 0
			for {
				k, err := readPacket(watch.r)
				if err != nil {
					came <- n
					return
				}
				if d, err := decodePublish(c.v, k); err == nil && d.payload == "bye" {
					n++
					_, _ = watch.nc.Write(frame(puback, u16(d.id)))
				}
			}
		}()
		time.Sleep(5 * time.Second)
		if c.away {
			time.Sleep(100 * time.Second) // the new connection may never have been heard
		}
		_ = watch.nc.Close()
		n := <-came
		// Published before it is forgotten: a cut between repeats it.
		if most := 2; connected && n == 0 || n > most || first && second && n > 1 {
			t.Errorf("%+v: connected %v, %d wills came", c, connected, n)
		}
		if _, err := srv.halt(); err != nil {
			t.Error(err)
		}
	})
	return first, second
}

// hears waits for CONNACK, which must come unless the power goes.
func (c willCase) hears(t *testing.T, srv *server, p *plain) bool {
	t.Helper()
	k, err := readPacket(p.r)
	connected := err == nil && k.first == connack && k.body[1] == 0
	synctest.Wait()
	if !srv.dead.Load() && !connected {
		t.Fatalf("%+v: %#x %x, %v", c, k.first, k.body, err)
	}
	return connected
}

func (c willCase) boot(t *testing.T, fs *vfs.MemFS) *server {
	t.Helper()
	srv, err := boot(fs)
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	srv.torn, srv.rng = 50, rand.New(rand.NewPCG(uint64(c.first), uint64(c.second)))
	return srv
}

// reboot cuts the power, if it is still there, and starts another process on what the disk has.
func (c willCase) reboot(t *testing.T, srv *server) *server {
	t.Helper()
	srv.cut()
	fs, _ := srv.halt()
	synctest.Wait()
	return c.boot(t, fs)
}

func (c willCase) dial(t *testing.T, srv *server) *plain {
	nc := srv.dial()
	return &plain{t, nc, bufio.NewReader(nc)}
}

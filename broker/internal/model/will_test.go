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
// goes: at each write of the database while it connects, and again at each while the next process publishes the will.
func TestWillOutlivesPowerCuts(t *testing.T) {
	for _, v := range []byte{4, 5} {
		for _, session := range []bool{false, true} {
			t.Run(fmt.Sprintf("version %d, session %v", v, session), func(t *testing.T) {
				c := willCase{v: v, session: session}
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
				if cuts < 4 {
					t.Errorf("the power went only %d times", cuts)
				}
			})
		}
	}
}

// A willCase says at which write the power of the first process goes and of the second; 0 is at none, but in the end.
type willCase struct {
	v             byte
	session       bool
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
		watch.say(connectFrame(c.v, "watch", false, keep, 0))
		watch.hear(connack)
		watch.say(frame(0x82, u16(1), props(c.v), str("w"), []byte{1}))
		watch.hear(suback)
		_ = watch.nc.Close()
		synctest.Wait()

		if c.first > 0 {
			srv.fuse.Store(c.first)
		}
		const will, clean = 0x04 | 0x08, 0x02 // at QoS 1
		flags, expiry := byte(will|clean), []byte(nil)
		if c.session && c.v == 5 {
			expiry = append([]byte{0x11}, u32(300)...)
		} else if c.session {
			flags = will
		}
		p := c.dial(t, srv)
		p.say(frame(0x10, str("MQTT"), []byte{c.v, flags}, u16(0), props(c.v, expiry), str("dev"), props(c.v), str("w"), str("bye")))
		k, err := readPacket(p.r)
		connected := err == nil && k.first == connack && k.body[1] == 0
		synctest.Wait()
		if first = !srv.dead.Load(); first && !connected {
			t.Fatalf("%+v: %#x %x, %v", c, k.first, k.body, err)
		}
		srv = c.next(t, srv)
		_ = p.nc.Close()

		if c.second > 0 {
			srv.fuse.Store(c.second)
		}
		time.Sleep(5 * time.Second)
		second = !srv.dead.Load()
		srv = c.next(t, srv)

		watch = c.dial(t, srv)
		watch.say(connectFrame(c.v, "watch", false, keep, 0))
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
		_ = watch.nc.Close()
		n := <-came
		// Published before it is forgotten: a cut between repeats it.
		if most := 2; connected && n == 0 || n > most || second && n > 1 {
			t.Errorf("%+v: connected %v, %d wills came", c, connected, n)
		}
		if _, err := srv.halt(); err != nil {
			t.Error(err)
		}
	})
	return first, second
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

// next cuts the power, if it is still there, and starts another process on what the disk has.
func (c willCase) next(t *testing.T, srv *server) *server {
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

package model

import (
	"bufio"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A plain client says what it is told, and waits for what it is told.
type plain struct {
	t  *testing.T
	nc net.Conn
	r  *bufio.Reader
}

func (p *plain) say(b []byte) {
	p.t.Helper()
	if _, err := p.nc.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plain) hear(first byte) packet {
	p.t.Helper()
	k, err := readPacket(p.r)
	if err != nil || k.first != first {
		p.t.Fatalf("got %#x %x, %v, want %#x", k.first, k.body, err, first)
	}
	return k
}

// TestNothingIsWrittenWithoutPersistentSubscribers counts the writes of the file system below the database: there are none
// while clients without persistent sessions do all that they may at each QoS, nor in the housekeeping afterwards. One
// subscriber with a persistent session makes some, so the count is one.
func TestNothingIsWrittenWithoutPersistentSubscribers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, err := boot(vfs.NewCrashableMem())
		if err != nil {
			t.Fatal(err)
		}
		const full = 1 << 40
		srv.fuse.Store(full)
		for _, v := range []byte{4, 5} {
			join := func(id string, clean bool) *plain {
				expiry := uint32(0)
				if v == 5 && !clean {
					expiry = 300
				}
				nc := srv.dial()
				p := &plain{t, nc, bufio.NewReader(nc)}
				p.say(connectFrame(v, id, clean, expiry, 0, nil))
				p.hear(connack)
				return p
			}
			exchange := func(sub *plain) {
				sub.say(frame(0x82, u16(1), props(v), str("t/#"), []byte{2}))
				sub.hear(suback)
				pub := join("pub", true)
				for id := uint16(1); id <= 20; id++ {
					pub.say(publishFrame(v, 0, false, 0, "t/0", "x", 0))
					sub.hear(0x30)
					pub.say(publishFrame(v, 1, false, id, "t/1", "x", 0))
					pub.hear(puback)
					d, err := decodePublish(v, sub.hear(0x32))
					if err != nil {
						t.Fatal(err)
					}
					sub.say(frame(puback, u16(d.id)))
					pub.say(publishFrame(v, 2, false, id, "t/2", "x", 0))
					pub.hear(pubrec)
					pub.say(frame(pubrel, u16(id)))
					pub.hear(pubcomp)
					if d, err = decodePublish(v, sub.hear(0x34)); err != nil {
						t.Fatal(err)
					}
					sub.say(frame(pubrec, u16(d.id)))
					sub.hear(pubrel)
					sub.say(frame(pubcomp, u16(d.id)))
				}
				sub.say(frame(0xA2, u16(2), props(v), str("t/#")))
				sub.hear(unsuback)
				pub.say(frame(disconnect))
				sub.say(frame(disconnect))
				_, _ = pub.nc.Close(), sub.nc.Close()
				synctest.Wait()
			}
			before := srv.fuse.Load()
			exchange(join("sub", true))
			time.Sleep(time.Hour)
			if n := before - srv.fuse.Load(); n != 0 {
				t.Errorf("version %d: %d writes without a persistent subscriber", v, n)
			}
			exchange(join("keep", false))
			if srv.fuse.Load() == before {
				t.Errorf("version %d: no write for a persistent subscriber", v)
			}
			time.Sleep(time.Hour) // until its session is over
		}
		if _, err := srv.halt(); err != nil {
			t.Error(err)
		}
	})
}

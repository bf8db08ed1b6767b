package broker

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// TestNothingAcknowledgedIsLost: publishers at full speed, a persistent
// subscriber that is cut again and again with messages under way, and a broker that is
// thrown away in the middle, as by a crash. Each acknowledged message comes, and the first
// time in the order of its publisher.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	const publishers, each = 6, 300
	for seed := range uint64(6) {
		store := NewMemStore()
		small := func(o *Options) { o.MaxInflight, o.MaxPendingBytes = 7, 600 }
		o := connectOpts{v: byte(4 + seed%2), id: "sub", resume: true, expiry: 3600}
		b := open(t, store, small)
		first := join(t, b, o)
		first.subscribe(1, "p/#")
		first.cut()

		rng := rand.New(rand.NewPCG(seed, 1))
		next := make([]int, publishers) // what the first delivery of each publisher should be
		receive := func(b *Broker, most int) (got int) {
			p := dial(t, b)
			p.resumes(o)
			defer p.cut()
			kept := 0 // not acknowledged
			for got < most {
				d := p.receive()
				var from, n int
				if _, err := fmt.Sscanf(d.topic+" "+d.payload, "p/%d %d", &from, &n); err != nil {
					t.Fatal(err)
				}
				switch {
				case n == next[from]:
					next[from]++
				case n > next[from]:
					t.Fatalf("seed %d: publisher %d: %d came, %d did not", seed, from, n, next[from])
				}
				got++
				if rng.IntN(10) > 0 {
					p.puback(d.id)
				} else if kept++; kept == 4 || rng.IntN(3) == 0 {
					return got
				}
				total := 0
				for _, n := range next {
					total += n
				}
				if total == publishers*each {
					return got
				}
			}
			return got
		}
		publish := func(b *Broker, from, to int) *sync.WaitGroup {
			var wg sync.WaitGroup
			for k := range publishers {
				wg.Go(func() {
					p := join(t, b, connectOpts{id: fmt.Sprint("pub", k)})
					for i := from; i < to; i += 10 { // ten in one write
						var all []byte
						for j := i; j < i+10; j++ {
							all = append(all, p.publishFrame(2, uint16(j+1), fmt.Sprintf("p/%d", k), fmt.Sprint(j))...)
						}
						p.write(all)
						for j := i; j < i+10; j++ {
							p.want(0x40, u16(uint16(j+1)))
						}
					}
					p.cut()
				})
			}
			return &wg
		}
		wg := publish(b, 0, each/2)
		for range 20 {
			receive(b, 1+rng.IntN(20))
		}
		wg.Wait()
		b = open(t, store, small) // the old one is gone with what it held in memory
		wg = publish(b, each/2, each)
		for {
			receive(b, 1+rng.IntN(200))
			done := true
			for _, n := range next {
				done = done && n == each
			}
			if done {
				break
			}
		}
		wg.Wait()
		if s := b.Stats(); len(s.Dropped) > 0 {
			t.Errorf("seed %d: dropped %v", seed, s.Dropped)
		}
	}
}

package defender

import (
	"net/netip"
	"sync/atomic"
)

// A Recorder counts the messages of one connection: what Service.Record does, without looking for the thing and reading
// the address each time. It is safe for concurrent use.
type Recorder struct {
	s     *Service
	thing string
	from  netip.Addr
	shard *watchShard
	known atomic.Pointer[watched] // what is remembered of thing, nil until the first message
}

// Recorder returns the recorder of a connection of a thing, from an address with or without port, or none.
func (s *Service) Recorder(thing, ip string) *Recorder {
	from, _ := parseAddress(ip)
	return &Recorder{s: s, thing: thing, from: from, shard: s.watch.shard(thing)}
}

// Sent is Record of a Sent message of so many bytes of payload.
func (r *Recorder) Sent(topic string, bytes int) {
	r.record(&Observation{Kind: Sent, Topic: topic, Bytes: bytes})
}

// Received is Record of a Received message.
func (r *Recorder) Received(topic string) {
	r.record(&Observation{Kind: Received, Topic: topic})
}

func (r *Recorder) record(o *Observation) {
	now := r.s.opts.Now()
	r.shard.observed.Add(1)
	dims := *r.s.used.Load()
	for {
		t := r.known.Load()
		if t == nil {
			if t = r.shard.thing(r.thing, r.s.watch.limit); t == nil {
				r.s.dropped.Add(1)
				return
			}
			r.known.Store(t)
		}
		t.mu.Lock()
		if t.gone { // as nothing was seen of it for long: it begins anew
			t.mu.Unlock()
			r.known.CompareAndSwap(t, nil)
			continue
		}
		t.seen = now
		t.observe(o, r.from, now, dims)
		t.mu.Unlock()
		return
	}
}

package broker

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// TestManyTopics publishes to 100,000 topics, of which each has a subscription of its own, of ten clients.
func TestManyTopics(t *testing.T) {
	n := some(100_000) / 10 * 10
	overloaded(t, func(t *testing.T, s *site) {
		before := heapInUse()
		topic := func(i int) string { return fmt.Sprintf("many/%d/topics/%d", i%100, i) }
		all := s.connect(connectOpts{v: 4, id: "all"})
		all.subscribe(0, "many/#")
		var each []*peer
		for i := range 10 {
			p := s.connect(connectOpts{id: fmt.Sprint("each", i)})
			subscribeMany(p, n/10, func(k int) string { return topic(10*k + i) })
			each = append(each, p)
		}
		if got := s.Stats().Subscriptions; got != int64(n+2) {
			t.Errorf("%d subscriptions, want %d", got, n+2)
		}
		holds(t, "subscribed", before, int64(n)*1500+4<<20)
		s.counted(t, before)
		pub := s.connect(connectOpts{id: "pub"})
		errs := make(chan error, 1)
		go func() {
			for i := 0; i < n; i += 50 { // so few that no queue is full
				var out []byte
				for k := i; k < i+50; k++ {
					out = append(out, pub.publishFrame(0, 0, topic(k), fmt.Sprint(k))...)
				}
				if _, err := pub.nc.Write(append(out, pub.publishFrame(2, 1, "turn", "")...)); err == nil {
					_, err = pub.readErr()
					if err != nil {
						errs <- err
						return
					}
				}
			}
			errs <- nil
		}()
		for i := range n {
			all.gets(0, topic(i), fmt.Sprint(i))
			each[i%10].gets(0, topic(i), fmt.Sprint(i))
		}
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
		holds(t, "published", before, int64(n)*1500+4<<20) // a publisher does not remember all of them
		for _, p := range append(each, all, pub) {
			_ = p.nc.Close()
		}
		until(t, "all are gone", func() bool { return s.Stats().Subscriptions == 1 && s.Stats().Connections == 2 })
		holds(t, "all are gone", before, 8<<20)
	}, func(o *Options) { o.MaxOutboxBytes = 64 << 20 })
}

// subscribeMany subscribes with packets of 100 filters at QoS 0.
func subscribeMany(p *peer, n int, filter func(i int) string) {
	p.t.Helper()
	for i := 0; i < n; i += 100 {
		var filters []string
		for k := i; k < min(i+100, n); k++ {
			filters = append(filters, filter(k))
		}
		p.subscribe(0, filters...)
	}
}

// TestManySubscriptions gives one client as many subscriptions as it may have, and takes them in each way there is.
func TestManySubscriptions(t *testing.T) {
	n := max(300, some(10_000))
	filter := func(i int) string { return fmt.Sprintf("sub/%d/+/%d", i%10, i) }
	for _, o := range []connectOpts{{id: "clean"}, {id: "kept", expiry: 3600}, {id: "clean3", v: 4}, {id: "kept3", v: 4, resume: true}} {
		overloaded(t, func(t *testing.T, s *site) {
			before := heapInUse()
			p := s.connect(o)
			subscribeMany(p, n, filter)
			code := byte(0x97)
			if p.v == 4 {
				code = 0x80
			}
			p.write(frame(0x82, u16(5), p.props(), str("one/more"), []byte{0}, str(filter(3)), []byte{0}))
			p.want(0x90, u16(5), p.props(), []byte{code, 0})
			holds(t, "subscribed", before, int64(n)*2000+2<<20)
			pub := s.connect(connectOpts{id: "pub"})
			for i := 0; i < n; i += 37 {
				topic := strings.Replace(filter(i), "+", "x", 1)
				pub.write(pub.publishFrame(0, 0, topic, ""))
				p.gets(0, topic, "")
			}
			if i := 0; o.resume || o.expiry > 0 { // they survive the connection
				_ = p.nc.Close()
				until(t, "it is gone", func() bool { return s.Stats().Connections == 3 })
				v := p.v
				p = &peer{t: t, v: v}
				nc, err := s.dial()
				if err != nil {
					t.Fatal(err)
				}
				p.nc = nc
				again := o
				again.resume = true
				p.connect(again)
				if present, _ := p.connack(0); !present {
					t.Error("the session is gone")
				}
				topic := strings.Replace(filter(i), "+", "y", 1)
				pub.write(pub.publishFrame(0, 0, topic, ""))
				p.gets(0, topic, "")
			}
			for i := 0; i < n/2; i += 100 { // half of them one by one, the other half with the session
				m := min(100, n/2-i)
				var list []byte
				for k := i; k < i+m; k++ {
					list = append(list, str(filter(k))...)
				}
				p.write(frame(0xA2, u16(6), p.props(), list))
				if p.v == 5 {
					p.want(0xB0, u16(6), []byte{0}, make([]byte, m))
				} else {
					p.want(0xB0, u16(6))
				}
			}
			if got := s.Stats().Subscriptions; got != int64(n-n/2+1) {
				t.Errorf("%d subscriptions are left, want %d", got, n-n/2+1)
			}
			p.write([]byte{0xE0, 0})
			_ = p.nc.Close()
			_ = pub.nc.Close()
			until(t, "they are gone", func() bool { return s.Stats().Connections == 2 })
			end := s.connect(connectOpts{id: o.id}) // a clean start ends what there was
			if got := s.Stats().Subscriptions; got != 1 {
				t.Errorf("%d subscriptions are left, want the witness's", got)
			}
			_ = end.nc.Close()
			holds(t, "ended", before, 8<<20)
		}, func(o *Options) { o.MaxSubscriptions = n })
	}
}

// TestManyRetained retains a million messages. Who asks for a few of them gets those, who asks for all and does not
// read costs nothing.
func TestManyRetained(t *testing.T) {
	n := some(1_000_000)
	queue := max(10, n/10_000)
	s := serving(t, func(o *Options) { o.MaxQueueMessages = queue })
	before := heapInUse()
	set := func(payload string) {
		for i := range n {
			m := Message{Topic: fmt.Sprintf("kept/%d/%d", i%1000, i), Payload: []byte(payload), Retain: true, QoS: byte(i / 1000 % 3)}
			if err := s.PublishMessage(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	set("0123456789abcdef")
	holds(t, "retained", before, int64(n)*600+4<<20)
	s.counted(t, before)
	held := heapInUse()
	w := s.witness()
	for _, v := range []byte{4, 5} {
		p := s.connect(connectOpts{v: v, id: fmt.Sprint("few", v)})
		p.subscribe(0, fmt.Sprintf("kept/+/%d", n/2))
		p.gets(0, fmt.Sprintf("kept/%d/%d", n/2%1000, n/2), "0123456789abcdef")
		p.write(frame(0x82, u16(9), p.props(), str("+/7/+"), []byte{0}))
		p.want(0x90, u16(9), p.props(), []byte{0})
		for range n / 1000 {
			if d := p.receive(); !strings.HasPrefix(d.topic, "kept/7/") || !d.retain {
				t.Fatalf("got %+v", d)
			}
		}
		var filters []byte // each walks all levels and finds nothing
		for i := range 50 {
			filters = append(append(filters, str(fmt.Sprint("+/+/none", i))...), 0)
		}
		p.write(frame(0x82, u16(10), p.props(), filters), []byte{0xC0, 0})
		p.want(0x90, u16(10), p.props(), make([]byte, 50))
		p.want(0xD0)
		_ = p.nc.Close()
	}
	kept := s.connect(connectOpts{id: "kept", expiry: 60}) // more than its queue may have at once
	kept.subscribe(1, "kept/7/+")
	for range n / 1000 {
		if d := kept.receive(); d.qos > 0 {
			kept.puback(d.id)
		}
	}
	_ = kept.nc.Close()
	if got := s.Stats().Dropped; len(got) > 0 {
		t.Errorf("dropped: %v", got)
	}
	var deaf []*peer
	for i := range 6 {
		p := s.connect(connectOpts{id: fmt.Sprint("deaf", i), expiry: uint32(i % 2 * 60)})
		p.subscribe(byte(i%3), "kept/#")
		deaf = append(deaf, p)
	}
	holds(t, "six deaf clients", held, 6*8<<20)
	for _, p := range deaf {
		_ = p.nc.Close()
	}
	until(t, "they are gone", func() bool { return s.Stats().Connections == 2 })
	w.leave()
	set("")
	for m, err := range s.Retained(t.Context(), "#") {
		t.Fatalf("left: %+v, %v", m, err)
	}
	holds(t, "cleared", before, int64(n)*100+8<<20)
}

// TestDeepTopics uses topics and filters of as many levels as allowed, and filters that multiply in the tree.
func TestDeepTopics(t *testing.T) {
	n := max(200, some(5000))
	overloaded(t, func(t *testing.T, s *site) {
		before := heapInUse()
		deep := strings.Repeat("l/", 62) // and one or two more
		p := s.connect(connectOpts{id: "deep"})
		p.subscribe(0, strings.Repeat("+/", 63)+"+")
		p.write(frame(0x82, u16(1), p.props(), str(deep+"x/y/z"), []byte{0}, str(deep+"x/#"), []byte{0}))
		p.want(0x90, u16(1), p.props(), []byte{0x8F, 0})
		for i := range n {
			topic := fmt.Sprintf("%s%d/x", deep, i)
			p.write(p.publishFrame(0, 0, topic, ""))
			p.gets(0, topic, "")
		}
		subscribeMany(p, n, func(i int) string { // which share no more than their beginning
			return strings.Repeat("a/", i%20) + fmt.Sprint(i) + strings.Repeat("/b", 40)
		})
		holds(t, "deep filters", before, int64(n)*62*300+4<<20)
		s.counted(t, before)
		every := s.connect(connectOpts{v: 4, id: "every"})
		subscribeMany(every, min(n, 1<<12), func(i int) string { // all that match one topic
			levels := make([]string, 12)
			for k := range levels {
				levels[k] = []string{"m", "+"}[i>>k&1]
			}
			return strings.Join(levels, "/")
		})
		topic := strings.TrimSuffix(strings.Repeat("m/", 12), "/")
		for range 10 {
			p.write(p.publishFrame(0, 0, topic, "once"))
			every.gets(0, topic, "once")
		}
		every.write([]byte{0xC0, 0})
		every.want(0xD0) // and no more of them
		p.write(p.publishFrame(2, 3, deep+"x/y/z", ""))
		p.want(0x40, u16(3), []byte{0x90})
		_ = p.nc.Close()
		_ = every.nc.Close()
		until(t, "they are gone", func() bool { return s.Stats().Subscriptions == 1 })
		holds(t, "all are gone", before, 8<<20)
	})
}

// TestRoutesAreBounded has publishers use many topics that many receive: what each remembers of it is bounded.
func TestRoutesAreBounded(t *testing.T) {
	const subs, topics = 200, 300
	pubs := max(4, some(100))
	s := serving(t)
	for i := range subs { // absent, so that nothing is sent
		p := s.connect(connectOpts{id: fmt.Sprint("sub", i), expiry: 3600})
		p.subscribe(0, "routes/#")
		_ = p.nc.Close()
	}
	until(t, "they are absent", func() bool { return s.Stats().Connections == 0 })
	before := heapInUse()
	var all []*peer
	for i := range pubs {
		p := s.connect(connectOpts{id: fmt.Sprint("pub", i)})
		var out bytes.Buffer
		for k := range topics {
			out.Write(p.publishFrame(0, 0, fmt.Sprint("routes/", k), ""))
		}
		p.write(out.Bytes(), []byte{0xC0, 0})
		p.want(0xD0)
		all = append(all, p)
	}
	holds(t, "routes", before, int64(pubs)*(maxRouted*56+64<<10))
	for _, p := range all {
		_ = p.nc.Close()
	}
}

// TestIdentifiersOfManySubscriptions: a queue read back for a client with many subscriptions does not look at each of
// them for each message, and finds the identifiers of those that match.
func TestIdentifiersOfManySubscriptions(t *testing.T) {
	bubblePipes(t, func(t *testing.T, b *Broker) {
		o := connectOpts{id: "many", expiry: 3600}
		p := join(t, b, o)
		for i, filters := range [][]string{{"q/1", "q/+"}, {"q/#", "$share/g/q/1", "other"}} {
			for k := range 10 {
				filters = append(filters, fmt.Sprintf("none/%d/%d", i, k))
			}
			var list []byte
			for _, f := range filters {
				list = append(append(list, str(f)...), 1)
			}
			p.write(frame(0x82, u16(1), []byte{2, 0x0B, byte(i + 1)}, list))
			p.want(0x90, u16(1), []byte{0}, bytes.Repeat([]byte{1}, len(filters)))
		}
		p.leave()
		other := join(t, b, connectOpts{id: "other"})
		other.write(frame(0x82, u16(1), []byte{2, 0x0B, 9}, str("q/1"), []byte{0}))
		other.read()
		other.leave()
		if err := b.Publish(t.Context(), "q/1", []byte("x")); err != nil {
			t.Fatal(err)
		}
		o.resume = true
		p = join(t, b, o)
		for range 2 { // one for the share of a group
			d := p.gets(1, "q/1", "x")
			if want := []byte{0x0B, 1, 0x0B, 1, 0x0B, 2, 0x0B, 2}; !bytes.Equal(d.props, want) {
				t.Errorf("properties %x, want %x", d.props, want)
			}
		}
		p.leave()
	})
}

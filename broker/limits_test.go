package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// awsBubble is a broker with the profile and no Authorizer in the way.
func awsBubble(t *testing.T, f func(t *testing.T, b *Broker), opts ...func(*Options)) {
	t.Helper()
	bubble(t, f, append([]func(*Options){awsProfile}, opts...)...)
}

func awsProfile(o *Options) {
	a, z := o.Authenticator, o.Authorizer
	*o = *AWSProfile()
	o.Authenticator, o.Authorizer = a, z
}

func TestAWSProfileConnack(t *testing.T) {
	awsBubble(t, func(t *testing.T, b *Broker) {
		p := dial(t, b)
		p.connect(connectOpts{id: "a", expiry: 1 << 20})
		_, props := p.connack(0)
		for what, want := range map[string][]byte{
			"session expiry":           append([]byte{0x11}, u32(3600)...),
			"receive maximum":          append([]byte{0x21}, u16(100)...),
			"maximum QoS":              {0x24, 1},
			"maximum packet":           append([]byte{0x27}, u32(149_504)...),
			"topic aliases":            append([]byte{0x22}, u16(8)...),
			"keep alive 0 is 1200":     append([]byte{0x13}, u16(1200)...),
			"no subscription identifs": {0x29, 0},
		} {
			if !strings.Contains(string(props), string(want)) {
				t.Errorf("%s: %x not in %x", what, want, props)
			}
		}
		p.leave()
	})
}

// TestAWSProfileRefusesConnect refuses with the codes of the AWS IoT contract.
func TestAWSProfileRefusesConnect(t *testing.T) {
	for _, test := range []struct {
		what     string
		o        connectOpts
		code, v4 byte
	}{
		{"a client id of 129 bytes", connectOpts{id: strings.Repeat("i", 129)}, 0x85, 2},
		{"a client id with '$'", connectOpts{id: "$a"}, 0x85, 2},
		{"a will to a topic with nine levels", connectOpts{id: "a", will: &willOpts{topic: "1/2/3/4/5/6/7/8/9"}}, 0x90, 3},
		{"a will to a topic of 257 bytes", connectOpts{id: "a", will: &willOpts{topic: strings.Repeat("t", 257)}}, 0x90, 3},
		{"a will to a reserved topic", connectOpts{id: "a", will: &willOpts{topic: "$aws/things/a/shadow/update/delta"}}, 0x90, 3},
		{"a will to events", connectOpts{id: "a", will: &willOpts{topic: "$aws/events/presence/connected/a"}}, 0x90, 3},
		{"a will that is too large", connectOpts{id: "a", will: &willOpts{topic: "t", payload: strings.Repeat("x", 60_000)}}, 0x95, 3},
	} {
		awsBubble(t, func(t *testing.T, b *Broker) {
			for _, v := range []byte{4, 5} {
				p := dial(t, b)
				o := test.o
				o.v = v
				p.connect(o)
				code := test.code
				if v == 4 {
					code = test.v4
				}
				p.connack(code)
				if err := p.closed(0); err == nil {
					t.Errorf("%s, version %d: ServeConn says all is well", test.what, v)
				}
			}
		}, func(o *Options) { o.MaxPayloadBytes = 50_000 })
	}
}

// TestAWSProfilePublish sends what the profile limits; the standard's own limits stand in the other tests.
func TestAWSProfilePublish(t *testing.T) {
	long := strings.Repeat("t", 256)
	for _, test := range []struct {
		what, topic, payload string
		flags                byte
		puback               byte // MQTT 5 QoS 1; 0xFF: DISCONNECT with code
		code                 byte
	}{
		{"eight levels", "1/2/3/4/5/6/7/8", "", 0, 0, 0},
		{"256 bytes", long, "", 0, 0, 0},
		{"128 KiB", "t", strings.Repeat("x", 128<<10), 0, 0, 0},
		{"nine levels", "1/2/3/4/5/6/7/8/9", "", 0, 0x90, 0x90},
		{"257 bytes", long + "t", "", 0, 0x90, 0x90},
		{"more than 128 KiB", "t", strings.Repeat("x", 128<<10+1), 0, 0xFF, 0x95},
		{"Basic Ingest does not count", "$aws/rules/rule/1/2/3/4/5/6/7/8", "", 0, 0, 0},
		{"Basic Ingest with nine levels", "$aws/rules/rule/1/2/3/4/5/6/7/8/9", "", 0, 0x90, 0x90},
		{"a shadow's update", "$aws/things/t/shadow/update", "{}", 0, 0, 0},
		{"a named shadow's get", "$aws/things/t/shadow/name/n/get", "", 0, 0, 0},
		{"a shadow's delta", "$aws/things/t/shadow/update/delta", "{}", 0, 0x87, 0x87},
		{"a shadow's answer", "$aws/things/t/shadow/name/n/get/accepted", "{}", 0, 0x87, 0x87},
		{"a job's notification", "$aws/things/t/jobs/notify", "{}", 0, 0x87, 0x87},
		{"a job's update", "$aws/things/t/jobs/j/update", "{}", 0, 0, 0},
		{"an event", "$aws/events/thing/t/created", "{}", 0, 0x87, 0x87},
		{"another reserved topic", "$other", "", 0, 0x87, 0x87},
		{"retained on a reserved topic", "$aws/things/t/shadow/get", "", 1, 0x87, 0x87},
		{"retained", "t", "", 1, 0, 0},
	} {
		awsBubble(t, func(t *testing.T, b *Broker) {
			if _, err := b.Subscribe("#", func(context.Context, string, []byte) error { return nil }); err != nil {
				t.Fatal(err)
			}
			p := join(t, b, connectOpts{id: "a"})
			p.write(p.publishFrame(2|test.flags, 7, test.topic, test.payload))
			switch test.puback {
			case 0xFF:
				p.closed(test.code)
				return
			case 0:
				if k := p.read(); k.first != 0x40 || len(k.body) == 3 && k.body[2] >= 0x80 {
					t.Errorf("%s: %v, want PUBACK", test.what, k)
				}
			default:
				p.want(0x40, u16(7), []byte{test.puback})
			}
			p.write(p.publishFrame(test.flags, 0, test.topic, test.payload))
			if test.code != 0 {
				p.closed(test.code)
				return
			}
			p.write([]byte{0xC0, 0})
			p.want(0xD0)
			p.leave()
		})
	}
}

func TestAWSProfileSubscribe(t *testing.T) {
	awsBubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a"})
		for filter, code := range map[string]byte{
			"1/2/3/4/5/6/7/8":                     0,
			"1/2/3/4/5/6/7/8/9":                   0x8F,
			"$share/g/1/2/3/4/5/6/7/8":            0,
			"$share/g/1/2/3/4/5/6/7/8/9":          0x8F,
			strings.Repeat("f", 257):              0x8F,
			"$aws/things/t/shadow/update/delta":   0,
			"$aws/things/t/shadow/get/+":          0,
			"$aws/things/+/shadow/#":              0,
			"$aws/things/t/jobs/notify-next":      0,
			"$aws/events/presence/connected/+":    0,
			"$aws/rules/r":                        0x87,
			"$aws/rules/#":                        0x87,
			"$share/g/$aws/rules/#":               0x87,
			"$other/#":                            0x87,
			"$aws/provisioning-templates/t/other": 0x87,
		} {
			p.write(frame(0x82, u16(5), []byte{0}, str(filter), []byte{0}))
			p.want(0x90, u16(5), []byte{0, code})
		}
		p.leave()

		p = join(t, b, connectOpts{id: "b"})
		nine := []byte{}
		for range 9 {
			nine = append(nine, slices.Concat(str("f"), []byte{0})...)
		}
		p.write(frame(0x82, u16(5), []byte{0}, nine))
		p.closed(0x97)

		p = join(t, b, connectOpts{id: "c"})
		p.write(frame(0x82, u16(5), []byte{2, 0x0B, 1}, str("f"), []byte{0}))
		p.closed(0xA1)

		p = join(t, b, connectOpts{id: "d"})
		for i := range 50 {
			p.subscribe(1, fmt.Sprint("f/", i))
		}
		p.write(frame(0x82, u16(5), []byte{0}, str("one/more"), []byte{1}, str("f/3"), []byte{0}))
		p.want(0x90, u16(5), []byte{0, 0x97, 0})
		p.leave()
		p = join(t, b, connectOpts{id: "e", v: 4})
		p.write(frame(0x82, u16(5), str("$other"), []byte{1}, str("ok"), []byte{1}))
		p.want(0x90, u16(5), []byte{0x80, 1})
		p.leave()
	})
}

func TestAWSProfileMatching(t *testing.T) {
	awsBubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a"})
		p.write(p.publishFrame(1, 0, "kept/a", "kept"))
		p.subscribe(1, "sensor/#")
		p.subscribe(1, "kept/#") // a wildcard gets no retained messages
		p.subscribe(1, "+/a")
		p.subscribe(1, "kept/a")
		if d := p.gets(0, "kept/a", "kept"); !d.retain {
			t.Error("the retained message has no retain flag")
		}
		for _, topic := range []string{"sensor", "sensor/", "sensor/a/b"} {
			p.write(p.publishFrame(0, 0, topic, "x"))
		}
		p.gets(0, "sensor/", "x")
		p.gets(0, "sensor/a/b", "x")
		p.none()
		p.leave()
	})
}

// TestBasicIngestIsForHandlersAlone publishes to a rule with a subscriber that tries.
func TestBasicIngestIsForHandlersAlone(t *testing.T) {
	awsBubble(t, func(t *testing.T, b *Broker) {
		got := ""
		if _, err := b.Subscribe("$aws/rules/+/#", func(_ context.Context, topic string, p []byte) error {
			got = topic
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		p := join(t, b, connectOpts{id: "a"})
		p.subscribe(0, "$aws/things/+/shadow/#")
		s := b.session("a")
		lock := b.admit("a")
		if err := b.addSubscription(s, Subscription{Filter: "$aws/rules/#"}); err != nil { // from before the option was set
			t.Fatal(err)
		}
		lock.Unlock()
		p.write(p.publishFrame(0, 0, "$aws/rules/r/t", "x"), []byte{0xC0, 0})
		p.want(0xD0) // and nothing before it
		if got != "$aws/rules/r/t" {
			t.Errorf("the handler got %q", got)
		}
		p.leave()
	})
}

func TestPublishRate(t *testing.T) {
	for _, v := range []byte{4, 5} {
		awsBubble(t, func(t *testing.T, b *Broker) {
			n := 0
			if _, err := b.Subscribe("t", func(context.Context, string, []byte) error { n++; return nil }); err != nil {
				t.Fatal(err)
			}
			p := join(t, b, connectOpts{id: "a", v: v})
			for i := range 150 {
				p.write(p.publishFrame(0, 0, "t", fmt.Sprint(i)))
			}
			p.write(p.publishFrame(2, 9, "t", "and one that is acknowledged"))
			if v == 5 {
				p.want(0x40, u16(9), []byte{0x97})
			}
			p.write([]byte{0xC0, 0})
			p.want(0xD0)
			if n != 100 || b.Stats().Dropped[DropThrottled] != 51 {
				t.Errorf("version %d: %d messages accepted, %d dropped", v, n, b.Stats().Dropped[DropThrottled])
			}
			time.Sleep(time.Second)
			p.write(p.publishFrame(2, 9, "t", "a second later"))
			p.want(0x40, u16(9))
			if n != 101 {
				t.Errorf("version %d: %d messages after the pause", v, n)
			}
			p.leave()
		})
	}
}

func TestDeliverRate(t *testing.T) {
	bubblePipes(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a"})
		p.subscribe(1, "t")
		for range 130 {
			if err := b.PublishMessage(t.Context(), Message{Topic: "t"}); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			p.gets(0, "t", "")
		}
		p.none()
		if n := b.Stats().Dropped[DropThrottled]; n != 30 {
			t.Errorf("%d dropped", n)
		}
		if err := b.Publish(t.Context(), "t", []byte("QoS 1 is not dropped")); err != nil {
			t.Fatal(err)
		}
		p.gets(1, "t", "QoS 1 is not dropped")
		p.leave()
	}, awsProfile) // in real time the bucket fills meanwhile
}

// TestByteRate shows that bytes above the rate are delayed and none is lost.
func TestByteRate(t *testing.T) {
	awsBubble(t, func(t *testing.T, b *Broker) {
		n := 0
		if _, err := b.Subscribe("t", func(_ context.Context, _ string, p []byte) error { n += len(p); return nil }); err != nil {
			t.Fatal(err)
		}
		p := join(t, b, connectOpts{id: "a"})
		began := time.Now()
		const size, times = 100 << 10, 20
		for range times {
			p.write(p.publishFrame(0, 0, "t", strings.Repeat("x", size)))
		}
		p.write([]byte{0xC0, 0})
		p.want(0xD0)
		if took := time.Since(began); n != size*times || took < 2*time.Second || took > 4*time.Second {
			t.Errorf("%d bytes in %v, want %d in about 3 s at 512 KiB a second", n, took, size*times)
		}
		p.leave()
	})
}

func TestConnectInterval(t *testing.T) {
	awsBubble(t, func(t *testing.T, b *Broker) {
		join(t, b, connectOpts{id: "a"}).leave()
		for _, v := range []byte{4, 5} {
			p := dial(t, b)
			p.connect(connectOpts{id: "a", v: v})
			p.connack(map[byte]byte{4: 3, 5: 0x97}[v])
			p.closed(0)
		}
		join(t, b, connectOpts{id: "another"}).leave()
		time.Sleep(time.Second)
		join(t, b, connectOpts{id: "a"}).leave()
	})
}

func TestConnectRate(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for i := range 3 {
			join(t, b, connectOpts{id: fmt.Sprint(i)}).leave()
		}
		p := dial(t, b)
		p.connect(connectOpts{id: "x"})
		p.connack(0x9F)
		p.closed(0)
		time.Sleep(time.Second)
		join(t, b, connectOpts{id: "x"}).leave()
	}, func(o *Options) { o.MaxConnectRate = 3 })
}

// TestResendRate reads a queue back at ten messages a second.
func TestResendRate(t *testing.T) {
	awsBubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a", expiry: 600})
		p.subscribe(1, "t")
		p.leave()
		time.Sleep(time.Second)
		for i := range 35 {
			if err := b.Publish(t.Context(), "t", []byte(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		p = dial(t, b)
		p.connect(connectOpts{id: "a", resume: true, expiry: 600})
		if present, _ := p.connack(0); !present {
			t.Fatal("the session is gone")
		}
		began := time.Now()
		for i := range 35 {
			p.puback(p.gets(1, "t", fmt.Sprint(i)).id)
		}
		if took := time.Since(began); took < 2*time.Second || took > 5*time.Second {
			t.Errorf("35 messages came in %v, want about 3 s", took)
		}
		p.leave()
	})
}

func TestMessageExpiryBounds(t *testing.T) {
	awsBubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b, connectOpts{id: "a"})
		p.subscribe(0, "t")
		for sent, want := range map[uint32]uint32{0: 1, 60: 60, 604_801: 604_800} {
			p.write(p.publishFrame(0, 0, "t", "", []byte{0x02}, u32(sent)))
			if d := p.gets(0, "t", ""); !slices.Equal(d.props, append([]byte{0x02}, u32(want)...)) {
				t.Errorf("expiry %d became %x, want %d", sent, d.props, want)
			}
		}
		p.leave()
	})
}

func TestKeepAliveBounds(t *testing.T) {
	for _, test := range []struct {
		asked   uint16
		silence time.Duration
	}{{1, 45 * time.Second}, {30, 45 * time.Second}, {100, 150 * time.Second}, {0, 1800 * time.Second}, {65535, 1800 * time.Second}} {
		awsBubble(t, func(t *testing.T, b *Broker) {
			p := join(t, b, connectOpts{id: "a", keepAlive: test.asked})
			_ = p.nc.SetReadDeadline(time.Time{})
			began := time.Now()
			k := make([]byte, 3)
			if _, err := p.nc.Read(k); err != nil || k[0] != 0xE0 || k[2] != 0x8D {
				t.Errorf("keep alive %d: %x, %v", test.asked, k, err)
			}
			if took := time.Since(began); took < test.silence || took > test.silence+2*time.Second {
				t.Errorf("keep alive %d: ended after %v, want %v", test.asked, took, test.silence)
			}
			p.cut()
		})
	}
}

// TestLimitsAreOffByDefault does with default options what the profile refuses.
func TestLimitsAreOffByDefault(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		join(t, b, connectOpts{id: "$a"}).leave()
		p := join(t, b, connectOpts{id: "$a"})
		p.subscribe(0, "$aws/rules/#", "$other/#", "sensor/#", "1", "2", "3", "4", "5", "6")
		p.write(frame(0x82, u16(5), []byte{2, 0x0B, 1}, str("1/2/3/4/5/6/7/8/9/#"), []byte{0}))
		p.want(0x90, u16(5), []byte{0, 0})
		for range 300 {
			p.write(p.publishFrame(0, 0, "sensor", ""))
			p.gets(0, "sensor", "")
		}
		p.write(p.publishFrame(0, 0, "$other/x", strings.Repeat("x", 200_000)))
		p.gets(0, "$other/x", strings.Repeat("x", 200_000))
		p.leave()
	})
}

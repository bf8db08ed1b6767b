package brokerpaho

import (
	"context"
	"crypto/tls"
	"hash/fnv"
	"net"
	"net/url"
	"os"
	"sync"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// Servers are free to send a message once for all subscriptions of a client that match, with all their identifiers, or
// once for each [MQTT-3.3.4-4] [MQTT-3.3.4-5]. The identifiers tell whose a copy is. paho keeps
// one of several, so they are read here, from what passes through the connection.

// identifier is that of a filter: the same in every run, since a session keeps it.
func identifier(filter string) int {
	h := fnv.New32a()
	h.Write([]byte(filter)) // never fails
	return int(h.Sum32()%268_435_455) + 1
}

// A reading is a connection, with the subscription identifiers of the PUBLISH packets that came through it and
// were not asked for yet, in order.
type reading struct {
	net.Conn
	parser parser // used by the goroutine that reads

	mu  sync.Mutex
	ids [][]int // guarded by mu
}

func (r *reading) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.parser.feed(b[:n], func(ids []int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ids = append(r.ids, ids)
	})
	return n, err
}

// next is what the next PUBLISH had.
func (r *reading) next() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ids) == 0 {
		return nil
	}
	ids := r.ids[0]
	r.ids = r.ids[1:]
	return ids
}

// readingOf is the connection of a client, nil if it is not known. A client is looked for when its
// first message comes: while it is not done no later connection has begun, so that the last one is its own.
func (c *Client) readingOf(client *paho.Client) *reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reader.client == client {
		return c.reader.conn
	}
	last := c.reader.last
	select {
	case <-client.Done():
		return nil
	default:
	}
	c.reader.client, c.reader.conn = client, last
	return last
}

// attempt connects, so that the bytes can be read along. WebSockets are left to autopaho, and their messages have
// no identifiers.
func (c *Client) attemptConnection() func(context.Context, autopaho.ClientConfig, *url.URL) (net.Conn, error) {
	dial := c.opts.Dial
	if dial == nil {
		for _, u := range c.servers {
			if u.Scheme != "mqtt" && u.Scheme != "mqtts" || os.Getenv("all_proxy") != "" {
				return nil
			}
		}
		dial = func(ctx context.Context, u *url.URL) (net.Conn, error) {
			if u.Scheme == "mqtts" {
				return (&tls.Dialer{Config: c.tlsConfig()}).DialContext(ctx, "tcp", u.Host)
			}
			return new(net.Dialer).DialContext(ctx, "tcp", u.Host)
		}
	}
	return func(ctx context.Context, _ autopaho.ClientConfig, u *url.URL) (net.Conn, error) {
		conn, err := dial(ctx, u)
		if err != nil {
			return nil, err
		}
		r := &reading{Conn: conn}
		c.mu.Lock()
		c.reader.last = r
		c.mu.Unlock()
		return packets.NewThreadSafeConn(r), nil
	}
}

// A parser finds subscription identifiers in a stream of packets that a server sends. What is not MQTT it leaves
// to paho to refuse.
type parser struct {
	head []byte // of the packet at hand, until its properties are complete
	skip int    // bytes of it that need not be looked at
}

// feed looks at the next bytes and calls found for each PUBLISH, once its properties are there.
func (p *parser) feed(b []byte, found func(ids []int)) {
	for len(b) > 0 {
		if p.skip > 0 {
			n := min(p.skip, len(b))
			p.skip -= n
			b = b[n:]
			continue
		}
		p.head = append(p.head, b[0])
		b = b[1:]
		size, start := packetSize(p.head)
		switch {
		case size < 0: // the length is not there yet
		case p.head[0]>>4 != packets.PUBLISH:
			p.head, p.skip = p.head[:0], start+size-len(p.head)
		default:
			if ids, whole := identifiers(p.head[start:], p.head[0]>>1&3 > 0, len(p.head) == start+size); whole {
				found(ids)
				p.skip = start + size - len(p.head)
				p.head = p.head[:0]
			}
		}
	}
}

// packetSize is the remaining length of a packet and where its body starts, or -1.
func packetSize(head []byte) (size, start int) {
	if len(head) < 2 {
		return -1, 0
	}
	size, n := vbi(head[1:])
	if n == 0 {
		return -1, 0
	}
	return size, 1 + n
}

// vbi reads a variable byte integer of n bytes; 0 says that it is not whole.
func vbi(b []byte) (v, n int) {
	for i := range min(len(b), 4) {
		v |= int(b[i]&127) << (7 * i)
		if b[i] < 128 {
			return v, i + 1
		}
	}
	return 0, 0
}

// identifiers reads those of a PUBLISH. whole says that there is no need of more, last that there is no more.
func identifiers(body []byte, acknowledged, last bool) (ids []int, whole bool) {
	if len(body) < 2 {
		return nil, last
	}
	at := 2 + int(body[0])<<8 + int(body[1])
	if acknowledged {
		at += 2
	}
	if len(body) <= at {
		return nil, last
	}
	size, n := vbi(body[at:])
	if n == 0 || len(body) < at+n+size {
		return nil, last
	}
	for props := body[at+n : at+n+size]; len(props) > 0; {
		value := props[1:]
		long := 0
		switch props[0] {
		case packets.PropPayloadFormat:
			long = 1
		case packets.PropMessageExpiry:
			long = 4
		case packets.PropTopicAlias:
			long = 2
		case packets.PropSubscriptionIdentifier:
			id, n := vbi(value)
			ids = append(ids, id)
			long = max(n, 1)
		default: // strings, and a pair of them
			long = stringSize(value)
			if props[0] == packets.PropUser && long <= len(value) {
				long += stringSize(value[long:])
			}
		}
		if long > len(value) {
			return ids, true
		}
		props = value[long:]
	}
	return ids, true
}

func stringSize(b []byte) int {
	if len(b) < 2 {
		return 2
	}
	return 2 + int(b[0])<<8 + int(b[1])
}

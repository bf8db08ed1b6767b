package brokernet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// v2 builds a header of version 2.
func v2(command, family byte, body ...[]byte) string {
	all := bytes.Join(body, nil)
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x20|command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(all)))
	return string(append(b, all...))
}

var (
	four = []byte{192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0x22, 0xB3}
	six  = append(append(netip.MustParseAddr("2001:db8::1").AsSlice(), netip.MustParseAddr("2001:db8::2").AsSlice()...), 0x30, 0x39, 0x22, 0xB3)
	tlv  = []byte{0x02, 0, 3, 'i', 'o', 't', 0xEA, 0, 0}
)

var headers = []struct {
	name, in string
	source   string // empty with local; "error"
	local    bool
}{
	{"version 1 over IPv4", "PROXY TCP4 192.0.2.1 198.51.100.2 12345 8883\r\n", "192.0.2.1:12345", false},
	{"version 1 over IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 12345 8883\r\n", "[2001:db8::1]:12345", false},
	{"unknown has no addresses", "PROXY UNKNOWN\r\n", "", true},
	{"what follows unknown is skipped", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "", true},
	{"a port with a leading zero", "PROXY TCP4 192.0.2.1 198.51.100.2 012345 8883\r\n", "error", false},
	{"a port above 65535", "PROXY TCP4 192.0.2.1 198.51.100.2 70000 8883\r\n", "error", false},
	{"an address of the other family", "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", "error", false},
	{"a zone is no address of a peer", "PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n", "error", false},
	{"a name instead of an address", "PROXY TCP4 localhost 198.51.100.2 1 2\r\n", "error", false},
	{"too few fields", "PROXY TCP4 192.0.2.1\r\n", "error", false},
	{"two blanks", "PROXY  TCP4 192.0.2.1 198.51.100.2 1 2\r\n", "error", false},
	{"no end in 107 bytes", "PROXY UNKNOWN " + strings.Repeat("x", 100), "error", false},
	{"version 2 over IPv4", v2(1, 0x11, four), "192.0.2.1:12345", false},
	{"version 2 over IPv6", v2(1, 0x21, six), "[2001:db8::1]:12345", false},
	{"version 2 with extensions", v2(1, 0x11, four, tlv), "192.0.2.1:12345", false},
	{"version 2 over a Unix socket", v2(1, 0x31, make([]byte, 216)), "invalid AddrPort", false},
	{"a health check", v2(0, 0x00), "", true},
	{"a health check with addresses", v2(0, 0x11, four), "", true},
	{"an unspecified family", v2(1, 0x00), "", true},
	{"an unknown family", v2(1, 0x41, four), "error", false},
	{"an unknown command", v2(2, 0x11, four), "error", false},
	{"another version", strings.Replace(v2(1, 0x11, four), "\n\x21", "\n\x31", 1), "error", false},
	{"addresses that end early", v2(1, 0x21, four), "error", false},
	{"an extension that ends early", v2(1, 0x11, four, []byte{1, 0, 9}), "error", false},
	{"a giant claim", v2(1, 0x11, four, make([]byte, 60_000)), "error", false},
	{"MQTT without a header", "\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c", "error", false},
}

func TestParseProxyHeader(t *testing.T) {
	for _, test := range headers {
		t.Run(test.name, func(t *testing.T) {
			h, n, err := ParseProxyHeader([]byte(test.in + "rest"))
			if test.source == "error" {
				if !errors.Is(err, ErrProxyHeader) || n != 0 {
					t.Errorf("%+v, %d, %v, want ErrProxyHeader", h, n, err)
				}
				return
			}
			if err != nil || n != len(test.in) || h.Local != test.local {
				t.Fatalf("%+v, %d of %d, %v", h, n, len(test.in), err)
			}
			if !test.local && h.Source.String() != test.source {
				t.Errorf("source %v, want %s", h.Source, test.source)
			}
			for i := range len(test.in) {
				if _, n, err := ParseProxyHeader([]byte(test.in[:i])); n != 0 || err != nil {
					t.Fatalf("the first %d bytes: %d, %v, want that more are needed", i, n, err)
				}
			}
		})
	}
	h, _, _ := ParseProxyHeader([]byte(v2(1, 0x11, four, tlv)))
	if name, ok := h.TLV(2); !ok || string(name) != "iot" {
		t.Errorf("extension 2: %q, %v", name, ok)
	}
	if _, ok := h.TLV(7); ok {
		t.Error("an extension that is not there was found")
	}
}

// FuzzParseProxyHeader: no input panics or is read beyond its end, more bytes never change what was found, and
// what is refused stays refused.
func FuzzParseProxyHeader(f *testing.F) {
	for _, test := range headers {
		f.Add([]byte(test.in))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := ParseProxyHeader(b)
		if n < 0 || n > len(b) || n > proxyV2Max || err != nil && n != 0 {
			t.Fatalf("%d of %d, %v", n, len(b), err)
		}
		if n == 0 && err == nil {
			if len(b) >= proxyV2Max {
				t.Fatalf("%d bytes and more are wanted", len(b))
			}
			return
		}
		again, n2, err2 := ParseProxyHeader(append(bytes.Clone(b), "x"...))
		if (err == nil) != (err2 == nil) || n != n2 || h.Source != again.Source {
			t.Fatalf("one byte more: %+v, %d, %v and %+v, %d, %v", h, n, err, again, n2, err2)
		}
	})
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// pair connects to l with what the client sends first.
func pair(t *testing.T, l net.Listener, first string) (server, client net.Conn) {
	t.Helper()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if _, err := io.WriteString(client, first); err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server, client
}

func TestProxyListener(t *testing.T) {
	l, err := NewProxyListener(listen(t), []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := pair(t, l, headers[0].in+"hello")
	if err := c.(interface{ HandshakeContext(context.Context) error }).HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.RemoteAddr().String(); got != "192.0.2.1:12345" {
		t.Errorf("RemoteAddr is %s", got)
	}
	var buf [5]byte
	if _, err := io.ReadFull(c, buf[:]); err != nil || string(buf[:]) != "hello" {
		t.Errorf("behind the header: %q, %v", buf, err)
	}

	bad, _ := pair(t, l, "GET / HTTP/1.1\r\n\r\n")
	if _, err := bad.Read(buf[:]); !errors.Is(err, ErrProxyHeader) {
		t.Errorf("a trusted peer without a header: %v", err)
	}
	if s := l.Stats(); s != (ProxyStats{Headers: 1, Failed: 1}) {
		t.Errorf("stats are %+v", s)
	}
}

// TestProxyHandshakeEnds: a proxy that sends half a header holds nobody up for longer than the context.
func TestProxyHandshakeEnds(t *testing.T) {
	l, err := NewProxyListener(listen(t), []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := pair(t, l, "PROXY TCP4 ")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.(*ProxyConn).HandshakeContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the handshake ends with %v", err)
	}
}

func TestProxyListenerOfOthers(t *testing.T) {
	l, err := NewProxyListener(listen(t), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := pair(t, l, headers[0].in)
	if _, ok := c.(*ProxyConn); ok {
		t.Error("a peer that is not trusted is believed")
	}
	buf := make([]byte, len(headers[0].in))
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != headers[0].in {
		t.Errorf("its bytes are %q, %v", buf, err)
	}
	for _, trusted := range [][]netip.Prefix{nil, {{}}} {
		if _, err := NewProxyListener(listen(t), trusted); err == nil {
			t.Errorf("trusting %v gives no error", trusted)
		}
	}
}

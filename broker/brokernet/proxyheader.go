package brokernet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A ProxyHeader is what a proxy says of the connection that it forwards.
type ProxyHeader struct {
	Version int // 1 or 2
	// Local says that the connection is the proxy's own, a health check, or of unknown kind:
	// there are no addresses.
	Local               bool
	Source, Destination netip.AddrPort // zero if Local, and for Unix sockets
	// TLVs are the extensions of version 2 as they came; see TLV.
	TLVs []byte
}

const (
	proxyV1Max = 107  // "PROXY UNKNOWN", two IPv6 addresses, two ports and CRLF
	proxyV2Max = 2048 // the protocol allows 64 KiB, all known extensions fit into this
)

var proxyV2Start = []byte("\r\n\r\n\x00\r\nQUIT\n")

// ParseProxyHeader reads the header of the PROXY protocol, version 1 or 2, that b begins with, and
// returns its length. A length of 0 without an error says that more bytes are needed. The error
// is ErrProxyHeader.
func ParseProxyHeader(b []byte) (h ProxyHeader, n int, err error) {
	const v1Start = "PROXY "
	switch {
	case len(b) >= len(proxyV2Start) && bytes.HasPrefix(b, proxyV2Start):
		return parseProxyV2(b)
	case len(b) < len(proxyV2Start) && bytes.HasPrefix(proxyV2Start, b):
		return h, 0, nil
	case bytes.HasPrefix(b, []byte(v1Start)):
		return parseProxyV1(b)
	case len(b) < len(v1Start) && strings.HasPrefix(v1Start, string(b)):
		return h, 0, nil
	}
	return h, 0, fmt.Errorf("%w: there is none", ErrProxyHeader)
}

func parseProxyV1(b []byte) (h ProxyHeader, n int, err error) {
	end := bytes.Index(b[:min(len(b), proxyV1Max)], []byte("\r\n"))
	if end < 0 {
		if len(b) >= proxyV1Max {
			return h, 0, fmt.Errorf("%w: version 1 without an end in %d bytes", ErrProxyHeader, proxyV1Max)
		}
		return h, 0, nil
	}
	h.Version = 1
	f := strings.Split(string(b[:end]), " ")
	if f[1] == "UNKNOWN" { // what follows has no meaning
		h.Local = true
		return h, end + 2, nil
	}
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return h, 0, fmt.Errorf("%w: version 1: %q", ErrProxyHeader, b[:end])
	}
	if h.Source, err = v1Addr(f[1], f[2], f[4]); err == nil {
		h.Destination, err = v1Addr(f[1], f[3], f[5])
	}
	if err != nil {
		return ProxyHeader{}, 0, fmt.Errorf("%w: version 1: %w", ErrProxyHeader, err)
	}
	return h, end + 2, nil
}

func v1Addr(family, addr, port string) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if a.Is4() != (family == "TCP4") || a.Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("%q is no address of %s", addr, family)
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(p, 10) != port {
		return netip.AddrPort{}, fmt.Errorf("port %q", port)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), nil
}

func parseProxyV2(b []byte) (h ProxyHeader, n int, err error) {
	fail := func(format string, args ...any) (ProxyHeader, int, error) {
		return ProxyHeader{}, 0, fmt.Errorf("%w: version 2: "+format, append([]any{ErrProxyHeader}, args...)...)
	}
	const fixed = 16
	if len(b) < fixed {
		return h, 0, nil
	}
	h.Version = 2
	size := fixed + int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case b[12]>>4 != 2:
		return fail("version %d", b[12]>>4)
	case b[12]&15 > 1:
		return fail("command %d", b[12]&15)
	case size > proxyV2Max:
		return fail("%d bytes, at most %d are read", size, proxyV2Max)
	case size > len(b):
		return ProxyHeader{}, 0, nil
	}
	body := b[fixed:size]
	addresses, ok := map[byte]int{0x00: 0, 0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}[b[13]]
	switch {
	case b[12]&15 == 0: // LOCAL: the addresses are to be skipped, whatever they are
		h.Local = true
		return h, size, nil
	case !ok:
		return fail("family and protocol 0x%02x", b[13])
	case len(body) < addresses:
		return fail("%d bytes of addresses, not %d", len(body), addresses)
	}
	switch addresses {
	case 0:
		h.Local = true
	case 12:
		h.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body)), binary.BigEndian.Uint16(body[8:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[4:])), binary.BigEndian.Uint16(body[10:]))
	case 36:
		h.Source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body)).Unmap(), binary.BigEndian.Uint16(body[32:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[16:])).Unmap(), binary.BigEndian.Uint16(body[34:]))
	}
	h.TLVs = bytes.Clone(body[addresses:])
	for rest := h.TLVs; len(rest) > 0; {
		if len(rest) < 3 || len(rest) < 3+int(binary.BigEndian.Uint16(rest[1:])) {
			return fail("an extension ends early")
		}
		rest = rest[3+int(binary.BigEndian.Uint16(rest[1:])):]
	}
	return h, size, nil
}

// TLV is the value of the first extension of a type: 0x02 is the server name that a client of TLS
// asked for, 0xEA what clouds say of their endpoints.
func (h *ProxyHeader) TLV(kind byte) (value []byte, ok bool) {
	for rest := h.TLVs; len(rest) >= 3; {
		n := 3 + int(binary.BigEndian.Uint16(rest[1:]))
		if n > len(rest) {
			return nil, false
		}
		if rest[0] == kind {
			return rest[3:n:n], true
		}
		rest = rest[n:]
	}
	return nil, false
}

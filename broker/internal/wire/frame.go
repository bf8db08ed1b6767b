package wire

// A Frame is one packet, undecoded.
type Frame struct {
	Type  Type
	Flags byte   // the lower half of the first byte
	Body  []byte // behind the fixed header
}

// Next finds the first packet in b. size is its length with the fixed header:
// if size is above len(b), that many bytes are needed first and f is not set;
// if size is 0, not even its length is there yet. A packet above limit bytes
// is refused as soon as its length is known, before it has come.
func Next(b []byte, limit int) (f Frame, size int, err error) {
	if len(b) == 0 {
		return f, 0, nil
	}
	t := Type(b[0] >> 4)
	if t == 0 {
		return f, 0, &Error{Malformed, t, 0, "packet type 0 is reserved"}
	}
	length, n := varint(b[1:])
	if n < 0 {
		return f, 0, &Error{Malformed, t, 0, "remaining length is not a variable byte integer"}
	}
	if n == 0 {
		return f, 0, nil
	}
	size = 1 + n + int(length)
	if size > limit {
		return f, 0, &Error{PacketTooLarge, t, 0, "packet is larger than the server takes"}
	}
	if size > len(b) {
		return f, size, nil
	}
	return Frame{t, b[0] & 15, b[1+n : size : size]}, size, nil
}

// varint reads a variable byte integer [MQTT5 1.5.5]. n is how many bytes it
// takes, 0 if more are needed, -1 if it is wrong. A longer form than needed is
// wrong in MQTT 5 [MQTT-1.5.5-1] and accepted from nobody.
func varint(b []byte) (v uint32, n int) {
	for i := range min(len(b), 4) {
		v |= uint32(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			if b[i] == 0 && i > 0 {
				return 0, -1
			}
			return v, i + 1
		}
	}
	if len(b) >= 4 {
		return 0, -1
	}
	return 0, 0
}

func appendVarint(dst []byte, v int) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

func varintLen(v int) int {
	switch {
	case v < 1<<7:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<21:
		return 3
	}
	return 4
}

package brokerpebble

import "encoding/binary"

// keys builds the keys below one prefix; see the package comment.
type keys struct{ prefix string }

func (k keys) kind(kind byte, extra int) []byte {
	b := make([]byte, 0, len(k.prefix)+1+extra)
	return append(append(b, k.prefix...), kind)
}

func (k keys) version() []byte { return append(k.kind(0, 1), 'v') }
func (k keys) next() []byte    { return append(k.kind(0, 1), 'n') }

func (k keys) log(seq uint64) []byte { return binary.BigEndian.AppendUint64(k.kind('l', 8), seq) }

func (k keys) position(client string) []byte { return append(k.kind('p', len(client)), client...) }
func (k keys) retained(topic string) []byte  { return append(k.kind('r', len(topic)), topic...) }
func (k keys) session(client string) []byte  { return append(k.kind('s', len(client)), client...) }

// queue is the part of the keys of client's queue before the number.
func (k keys) queue(client string) []byte { return k.of('q', client) }

// received and released are those of client's marks before packet id and number.
func (k keys) received(client string) []byte { return k.of('i', client) }
func (k keys) released(client string) []byte { return k.of('j', client) }

func (k keys) of(kind byte, client string) []byte {
	b := binary.BigEndian.AppendUint32(k.kind(kind, 12+len(client)), uint32(len(client)))
	return append(b, client...)
}

// ref is the key of a number in the queue that begins with queue, which is left alone.
func ref(queue []byte, seq uint64) []byte {
	b := make([]byte, 0, len(queue)+8)
	return binary.BigEndian.AppendUint64(append(b, queue...), seq)
}

// after is the first key behind all that begin with b, which is left alone.
// The kind byte is always below 0xff, so there is one.
func after(b []byte) []byte {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			end := append([]byte(nil), b[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}

// bounds are the bounds of all keys of a kind.
func (k keys) bounds(kind byte) (lower, upper []byte) {
	return k.kind(kind, 0), k.kind(kind+1, 0)
}

// splitRef takes the key of a reference apart.
func (k keys) splitRef(key []byte) (client string, seq uint64, ok bool) {
	client, rest, ok := k.split(key)
	if !ok || len(rest) != 8 {
		return "", 0, false
	}
	return client, binary.BigEndian.Uint64(rest), true
}

// split takes a key of 'of' apart.
func (k keys) split(key []byte) (client string, rest []byte, ok bool) {
	key = key[len(k.prefix)+1:]
	if len(key) < 4 {
		return "", nil, false
	}
	n := binary.BigEndian.Uint32(key)
	if uint64(len(key)) < 4+uint64(n) {
		return "", nil, false
	}
	return string(key[4 : 4+n]), key[4+n:], true
}

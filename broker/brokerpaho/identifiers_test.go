package brokerpaho

import (
	"bytes"
	"slices"
	"testing"

	"github.com/eclipse/paho.golang/packets"
)

// publish is a PUBLISH as paho writes it, with identifiers put into its properties.
func publish(t testing.TB, topic string, qos byte, ids []int, payload string) []byte {
	t.Helper()
	var props bytes.Buffer
	props.Write([]byte{packets.PropUser, 0, 1, 'k', 0, 1, 'v', packets.PropContentType, 0, 1, 't', packets.PropMessageExpiry, 0, 0, 0, 9,
		packets.PropPayloadFormat, 1, packets.PropTopicAlias, 0, 1})
	for _, id := range ids {
		props.WriteByte(packets.PropSubscriptionIdentifier)
		for ; id > 127; id >>= 7 {
			props.WriteByte(byte(id) | 128)
		}
		props.WriteByte(byte(id))
	}
	body := append([]byte{byte(len(topic) >> 8), byte(len(topic))}, topic...)
	if qos > 0 {
		body = append(body, 0, 1)
	}
	body = append(body, byte(props.Len()))
	body = append(body, props.Bytes()...)
	body = append(body, payload...)
	out := []byte{packets.PUBLISH<<4 | qos<<1}
	n := len(body)
	for ; n > 127; n >>= 7 {
		out = append(out, byte(n)|128)
	}
	return append(append(out, byte(n)), body...)
}

func TestParser(t *testing.T) {
	var stream []byte
	want := [][]int{nil, {1}, {268_435_455, 128}, nil, {7}}
	for i, ids := range want {
		stream = append(stream, publish(t, "a/b", byte(i%2), ids, string(make([]byte, 100*i)))...)
		stream = append(stream, 0xD0, 0, 0x40, 2, 0, 1) // PINGRESP, PUBACK
	}
	stream = append(stream, 0x30, 2, 0, 0) // a PUBLISH that is too short
	stream = append(stream, publish(t, "", 0, []int{9}, "")...)
	want = append(want, nil, []int{9})
	for size := 1; size <= len(stream); size++ {
		var p parser
		var got [][]int
		for part := range slices.Chunk(stream, size) {
			p.feed(part, func(ids []int) { got = append(got, ids) })
		}
		if !slices.EqualFunc(got, want, slices.Equal) {
			t.Fatalf("in parts of %d bytes: %v, want %v", size, got, want)
		}
	}
}

// FuzzParser looks for panics, and for results that depend on how the bytes come.
func FuzzParser(f *testing.F) {
	f.Add(publish(f, "a", 1, []int{3}, "x"), 3)
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0xff}, 1)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		if size < 1 || size > 1000 {
			return
		}
		var whole, parts [][]int
		var p, q parser
		p.feed(stream, func(ids []int) { whole = append(whole, ids) })
		for part := range slices.Chunk(stream, size) {
			q.feed(part, func(ids []int) { parts = append(parts, ids) })
		}
		if !slices.EqualFunc(whole, parts, slices.Equal) {
			t.Errorf("%v in one piece, %v in pieces of %d", whole, parts, size)
		}
	})
}

package broker

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// scripts are what fuzzing begins with: packets behind a CONNECT, for both versions.
func scripts(f *testing.F) (v4, v5 [][]byte) {
	four, five := &peer{v: 4}, &peer{v: 5}
	for _, p := range []*peer{four, five} {
		sub := func(opts byte, filter string) []byte {
			return frame(0x82, u16(1), p.props(), str(filter), []byte{opts})
		}
		all := [][]byte{
			slices.Concat(sub(1, "#"), p.publishFrame(2, 1, "a", "x"), []byte{0x40, 2, 0, 1, 0xC0, 0}),
			slices.Concat(sub(2, "a/+"), p.publishFrame(4, 1, "a/b", "x"), []byte{0x50, 2, 0, 1, 0x62, 2, 0, 1, 0x70, 2, 0, 1}),
			slices.Concat(p.publishFrame(1, 0, "kept", "x"), sub(0, "kept"), sub(1, "$share/g/kept"), p.publishFrame(0, 0, "kept", "")),
			slices.Concat(sub(2, "a"), sub(1, "#"), frame(0xA2, u16(2), p.props(), str("a"), str("b")), p.publishFrame(4, 7, "a", ""), []byte{0xE0, 0}),
			[]byte("\x82\x06\x00\x01\x00\x00\x01a"),
		}
		if p == four {
			v4 = all
		} else {
			v5 = append(all, slices.Concat(p.publishFrame(2, 1, "topic", "x", []byte{0x23, 0, 1, 2, 0, 0, 0, 9}), p.publishFrame(2, 2, "", "y", []byte{0x23, 0, 1}),
				[]byte{0xE0, 1, 4}))
		}
	}
	return v4, v5
}

// FuzzConn gives a broker any bytes on three connections at once, of both versions and without a CONNECT, in any pieces.
// Another client is served all the time, and nothing is left when they are gone.
func FuzzConn(f *testing.F) {
	v4, v5 := scripts(f)
	for i := range v4 {
		f.Add(uint64(i), v4[i], v5[i])
		f.Add(uint64(100+i), v4[i], v5[len(v5)-1-i])
	}
	f.Fuzz(func(t *testing.T, seed uint64, four, five []byte) {
		b := open(t, NewMemStore(), nil)
		witness := dial(t, b)
		witness.connect(connectOpts{id: "witness"})
		witness.connack(0)
		witness.subscribe(1, "witness only")
		rng := rand.New(rand.NewPCG(seed, 0))
		whole := connectFrame(connectOpts{v: 4, id: "raw"})
		inputs := [][]byte{four, five, slices.Concat(whole[:min(len(whole), rng.IntN(40))], four, five)}
		var peers []*peer
		var read []chan struct{}
		for i := range inputs {
			p := dial(t, b)
			switch i {
			case 0:
				p.connect(connectOpts{v: 4, id: "same", resume: seed%2 == 0})
				p.connack(0)
			case 1: // with a shared subscription of the others, and aliases towards it
				p.connect(connectOpts{id: "five", expiry: uint32(seed % 3 * 60), resume: true, props: []byte{0x22, 0, 2, 0x21, 0, 3}})
				p.connack(0)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = io.Copy(io.Discard, p.nc)
			}()
			peers, read = append(peers, p), append(read, done)
		}
		for n := byte(1); len(inputs[0])+len(inputs[1])+len(inputs[2]) > 0; n++ {
			i := rng.IntN(len(inputs))
			piece := inputs[i][:min(len(inputs[i]), 1+rng.IntN(1+rng.IntN(40)))]
			inputs[i] = inputs[i][len(piece):]
			_ = peers[i].nc.SetWriteDeadline(time.Now().Add(20 * time.Second))
			if _, err := peers[i].nc.Write(piece); isTimeout(err) {
				t.Fatalf("connection %d is not read", i)
			} else if err != nil {
				inputs[i] = nil
			}
			if n%16 == 0 {
				witness.write(witness.publishFrame(0, 0, "witness only", string(n)))
				if d := witness.receive(); d.topic == "witness only" && d.payload != string(n) { // what others publish there may come, too
					t.Fatalf("witness got %+v, want %d", d, n)
				}
			}
		}
		for i, p := range peers {
			p.cut()
			<-read[i]
		}
		witness.write([]byte{0xC0, 0})
		for k := witness.read(); k.first != 0xD0; k = witness.read() {
			if k.first>>4 != 3 {
				t.Fatalf("witness got %v", k)
			}
		}
		witness.cut()
		s := b.Stats()
		if s.Panics > 0 || s.Connections != 0 || s.MemoryBytes != s.KeptBytes {
			t.Fatalf("left behind: %+v", s)
		}
	})
}

// FuzzSplit gives the same bytes to two brokers, to one at once and to the other in pieces: what a client hears, packet type
// by packet type, does not depend on how its bytes are cut.
func FuzzSplit(f *testing.F) {
	v4, v5 := scripts(f)
	for i := range v4 {
		f.Add(byte(4), uint64(i), v4[i])
	}
	for i := range v5 {
		f.Add(byte(5), uint64(i), v5[i])
	}
	f.Fuzz(func(t *testing.T, v byte, seed uint64, input []byte) {
		v = 4 + v%2
		if len(input) > 4096 {
			return
		}
		var whole, cut map[byte][]string
		synctest.Test(t, func(t *testing.T) {
			whole = heardOf(t, v, [][]byte{input})
		})
		var pieces [][]byte
		rng := rand.New(rand.NewPCG(seed, 1))
		for rest := input; len(rest) > 0; {
			n := 1 + rng.IntN(min(len(rest), 1+rng.IntN(30)))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		synctest.Test(t, func(t *testing.T) {
			cut = heardOf(t, v, pieces)
		})
		for first := range 16 {
			a, b := whole[byte(first)], cut[byte(first)]
			if !slices.Equal(a, b) {
				t.Errorf("packets of type %d\nat once    %q\nin pieces %q", first, a, b)
			}
		}
	})
}

// heardOf is what a client without a persistent session hears for some bytes, by packet type.
func heardOf(t *testing.T, v byte, pieces [][]byte) map[byte][]string {
	b := open(t, NewMemStore(), nil)
	p := dial(t, b)
	p.connect(connectOpts{v: v, id: "p"})
	p.connack(0)
	heard := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(p.nc)
		heard <- all
	}()
	retained := false
	for _, piece := range pieces {
		if _, err := p.nc.Write(piece); err != nil {
			break
		}
	}
	synctest.Wait()
	for m := range b.Retained(t.Context(), "#") {
		retained = retained || m.Topic != ""
	}
	p.cut()
	got := map[byte][]string{}
	for r := bytes.NewReader(<-heard); r.Len() > 0; {
		first, _ := r.ReadByte()
		n, shift := 0, 0
		for {
			c, err := r.ReadByte()
			if err != nil {
				break
			}
			n |= int(c&127) << shift
			if shift += 7; c < 128 {
				break
			}
		}
		body := make([]byte, min(n, r.Len()))
		_, _ = r.Read(body)
		got[first>>4] = append(got[first>>4], string(first)+string(body))
	}
	if retained {
		delete(got, 3) // whether a new subscription finds a message depends on when it looks
	}
	return got
}

package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
)

// BenchmarkDo is the way of a request through a dispatcher, plugin aside.
func BenchmarkDo(b *testing.B) {
	for _, inline := range []bool{true, false} {
		b.Run(fmt.Sprintf("inline=%v", inline), func(b *testing.B) {
			var wg sync.WaitGroup
			spec := Spec{Name: "probe", Inline: inline, Open: func(context.Context, json.RawMessage) (Action, error) {
				return Func(func(context.Context, *Request) error { return nil }), nil
			}}
			c, err := NewCatalog(spec)
			if err != nil {
				b.Fatal(err)
			}
			d, err := NewDispatcher(c, &Options{Full: Block, Workers: 1})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			ran := make(chan error, 1)
			go func() { ran <- d.Run(ctx) }()
			a, err := d.Open(ctx, "probe", nil)
			if err != nil {
				b.Fatal(err)
			}
			done := func(error) { wg.Done() }
			r := &Request{ID: "1", Topic: "sensors/s1", Payload: make([]byte, 300), Source: make([]byte, 300), Done: done}
			b.ReportAllocs()
			for b.Loop() {
				wg.Add(1)
				if err := a.Do(ctx, r); err != nil {
					b.Fatal(err)
				}
			}
			wg.Wait()
			cancel()
			if err := <-ran; err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkCodec(b *testing.B) {
	r := storedRequests()[1]
	r.Payload, r.Source = make([]byte, 300), make([]byte, 300)
	r.Payload[0] = 1
	text, _ := r.AppendBinary(nil)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 0, 2*len(text))
		for b.Loop() {
			buf, _ = r.AppendBinary(buf[:0])
		}
	})
	b.Run("unmarshal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var q Request
			if err := q.UnmarshalBinary(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

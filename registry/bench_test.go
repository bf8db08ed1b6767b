package registry

import (
	"fmt"
	"testing"
)

// BenchmarkAllowed is one cached decision; principals beyond the cache are
// read and compiled anew.
func BenchmarkAllowed(b *testing.B) {
	for _, principals := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("principals=%d", principals), func(b *testing.B) {
			r, err := New(NewMemStore(), nil)
			if err != nil {
				b.Fatal(err)
			}
			ctx := b.Context()
			_, err = r.CreatePolicy(ctx, "p", `{"Version": "2012-10-17", "Statement": [
				{"Effect": "Allow", "Action": "iot:Connect", "Resource": "`+arn+`client/${iot:ClientId}"},
				{"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": "`+arn+`topic/sensors/${iot:ClientId}/*"}]}`)
			if err != nil {
				b.Fatal(err)
			}
			questions := make([]Access, principals)
			for i := range questions {
				name := fmt.Sprintf("sensor-%d", i)
				if err := r.AttachPolicy(ctx, "p", name); err != nil {
					b.Fatal(err)
				}
				questions[i] = Access{Principal: name, ClientID: name, Action: "iot:Publish", Resource: "topic/sensors/" + name + "/climate"}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if err := r.Allowed(ctx, questions[i%principals]); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

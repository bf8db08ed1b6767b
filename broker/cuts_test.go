package broker

import (
	"context"
	"fmt"
	"testing"
)

// Whose right ends between the question who he is and the answer that he is let
// in has no connection: DisconnectPrincipal finds him nowhere at that moment.
func TestCutWhileBeingLetIn(t *testing.T) {
	for name, c := range map[string]struct {
		cut  []string
		ends bool
	}{
		"nobody":                       {nil, false},
		"another":                      {[]string{"other"}, false},
		"this one":                     {[]string{"other", "cert", "other"}, true},
		"more than can be remembered":  {others(65), true}, // it may have been this one
		"as many as can be remembered": {others(64), false},
	} {
		t.Run(name, func(t *testing.T) {
			var b *Broker
			bubble(t, func(t *testing.T, made *Broker) {
				b = made
				p := dial(t, b)
				p.connect(connectOpts{id: "p", user: "cert"})
				p.connack(0)
				if c.ends {
					p.closed(0x87)
					return
				}
				p.subscribe(0, "t")
				if err := b.Publish(t.Context(), "t", []byte("x")); err != nil {
					t.Fatal(err)
				}
				p.gets(0, "t", "x")
				p.leave()
			}, func(o *Options) {
				o.Hooks = &Hooks{OnConnect: func(context.Context, ClientInfo) error {
					for _, principal := range c.cut {
						if n := b.DisconnectPrincipal(principal); n != 0 {
							t.Errorf("%d disconnected", n)
						}
					}
					return nil
				}}
			})
		})
	}
}

func others(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint("other", i))
	}
	return out
}

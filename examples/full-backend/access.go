package main

import (
	"context"
	"log/slog"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/registry"
)

// followAccess makes the broker live by the registry: changes are published
// where that is switched on, and what was allowed and may not be any more is
// asked again, or cut off. All of that happens before the registry's call
// returns, and so before the operation that made the change is answered: the
// next message to or from a device is judged by the new rules.
func followAccess(reg *registry.Registry, b *broker.Broker, log *slog.Logger) {
	reg.Observe(func(ctx context.Context, e registry.Event) {
		if e.Enabled && e.Topic != "" {
			if err := b.Publish(ctx, e.Topic, e.Payload); err != nil {
				log.Warn("registry event", "topic", e.Topic, "err", err)
			}
		}
		if !e.Access {
			return
		}
		b.InvalidateAuth()
		if e.Kind == registry.CertificateEvents && e.Principal != "" && e.Status != registry.StatusActive {
			b.DisconnectPrincipal(e.Principal)
		}
	})
}

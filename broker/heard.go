package broker

// Heard reports whether anybody would get or see a message that is published on a topic now: a client that has
// subscribed, connected or not, a handler, a [Watch], or [Trace].Published. It is for programs whose messages cost
// something to make and are often nobody's; it takes less than a microsecond, allocates nothing and may be called from
// many goroutines. A retained message is worth publishing all the same.
func (b *Broker) Heard(topic string) bool {
	if b.opts.Trace.Published != nil {
		return true
	}
	if all := b.watches.Load(); all != nil && len(*all) > 0 {
		return true
	}
	b.subs.RLock()
	defer b.subs.RUnlock()
	for range b.subs.tree.Match(topic) {
		return true
	}
	return false
}

package engine

// aliases are the topic aliases towards one connection [MQTT5 3.3.2.3.4]: the first topics
// get one each and keep it, since devices hear the same topics again and again.
type aliases struct {
	most  int // 0 is none
	known map[string]uint16
}

// UseAliases lets a connection that was just attached be sent up to most topic aliases.
func (o *Outbound) UseAliases(most int) { o.aliases = aliases{most: most} }

// take returns what stands for a topic: an alias alone if the peer knows it, both where it is
// set up, which takes three bytes, or the topic alone where there is no room for them or no alias left [MQTT-3.1.2-27]
// [MQTT-3.3.2-11].
func (a *aliases) take(topic string, room bool) (string, uint16) {
	if alias, ok := a.known[topic]; ok {
		return "", alias
	}
	if len(a.known) >= a.most || !room || len(topic) <= 3 {
		return topic, 0
	}
	if a.known == nil {
		a.known = map[string]uint16{}
	}
	alias := uint16(len(a.known) + 1) // never above what the client allows [MQTT-3.1.2-26]
	a.known[topic] = alias
	return topic, alias
}

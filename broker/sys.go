package broker

import (
	"context"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/thingloom/thingloom/internal/topic"
)

// sysTopics are the statistics under $SYS/, as last published.
type sysTopics struct {
	sync.Mutex
	began  time.Time
	next   time.Time
	values map[string]string
}

// A sysValue is one line of the statistics.
type sysValue struct{ topic, value string }

// sysValues are the statistics as they are now, under the names that Mosquitto gave them, and drops by reason.
func (b *Broker) sysValues(now time.Time) []sysValue {
	s := b.Stats()
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	dropped := int64(0)
	for _, d := range s.Dropped {
		dropped += d
	}
	sent := s.DeliveredQoS0 + s.DeliveredQoS1 + s.DeliveredQoS2
	received := s.PublishedQoS0 + s.PublishedQoS1 + s.PublishedQoS2
	list := []sysValue{
		{"version", "thingloom " + buildVersion()},
		{"uptime", n(int64(now.Sub(b.sys.began)/time.Second)) + " seconds"},
		{"clients/connected", n(s.Connections)},
		{"clients/disconnected", n(max(0, s.Sessions-s.Connections))},
		{"clients/total", n(s.Sessions)},
		{"subscriptions/count", n(s.Subscriptions)},
		{"publish/messages/received", n(received)},
		{"publish/messages/sent", n(sent)},
		{"publish/messages/dropped", n(dropped)},
		{"publish/messages/refused", n(s.PublishRefused)},
		{"messages/stored", n(s.Stored)},
		{"bytes/received", n(s.BytesIn)},
		{"bytes/sent", n(s.BytesOut)},
		{"store/errors", n(s.StoreErrors)},
		{"memory/counted", n(s.MemoryBytes)},
		{"memory/kept", n(s.KeptBytes)},
	}
	for reason, d := range s.Dropped {
		list = append(list, sysValue{"dropped/" + string(reason), n(d)})
	}
	for reason, d := range s.Disconnects {
		list = append(list, sysValue{"disconnects/" + strings.ToLower(reason), n(d)})
	}
	for i := range list {
		list[i].topic = "$SYS/broker/" + list[i].topic
	}
	return list
}

// buildVersion is that of the module this is built into, as far as the binary knows.
func buildVersion() string {
	const module = "github.com/thingloom/thingloom"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module && m.Version != "" {
			return m.Version
		}
	}
	return "(devel)"
}

// publishSys publishes what has changed, if it is time.
func (b *Broker) publishSys(now time.Time) {
	if b.opts.SysInterval == 0 {
		return
	}
	b.sys.Lock()
	if now.Before(b.sys.next) {
		b.sys.Unlock()
		return
	}
	b.sys.next = now.Add(b.opts.SysInterval)
	old, values := b.sys.values, map[string]string{}
	list := b.sysValues(now)
	for _, v := range list {
		values[v.topic] = v.value
	}
	b.sys.values = values
	b.sys.Unlock()
	for _, v := range list {
		if before, known := old[v.topic]; known && before == v.value {
			continue
		}
		if err := b.PublishMessage(context.Background(), Message{Topic: v.topic, Payload: []byte(v.value)}); err != nil {
			b.opts.Logger.Warn("statistics", "topic", v.topic, "err", err)
		}
	}
}

// sysRetained are the statistics that match a filter, as retained messages ordered by topic.
func (b *Broker) sysRetained(filter string) []Message {
	if b.opts.SysInterval == 0 || !strings.HasPrefix(filter, "$SYS/") {
		return nil
	}
	now := b.now()
	b.sys.Lock()
	list := b.sysValues(now)
	b.sys.Unlock()
	var all []Message
	for _, v := range list {
		if topic.Match(filter, v.topic) {
			all = append(all, Message{Topic: v.topic, Payload: []byte(v.value), Retain: true, Time: now})
		}
	}
	slices.SortFunc(all, func(a, b Message) int { return strings.Compare(a.Topic, b.Topic) })
	return all
}

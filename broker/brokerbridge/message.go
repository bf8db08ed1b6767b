package brokerbridge

import (
	"strings"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/internal/topic"
)

// PathProperty is the user property with the IDs of the brokers a message has been bridged
// from, separated by blanks.
const PathProperty = "thingloom-bridge"

// path finds the value of PathProperty.
func path(user paho.UserProperties) []string { return strings.Fields(user.Get(PathProperty)) }

// looped reports whether a message has come this way before.
func (b *Bridge) looped(user paho.UserProperties) bool {
	hops := path(user)
	for _, id := range hops {
		if id == b.opts.BrokerID {
			return true
		}
	}
	return len(hops) >= b.opts.MaxHops
}

// onward are the user properties with our broker added to the path.
func (b *Bridge) onward(user paho.UserProperties) paho.UserProperties {
	out := make(paho.UserProperties, 0, len(user)+1)
	for _, u := range user {
		if u.Key != PathProperty {
			out = append(out, u)
		}
	}
	return append(out, paho.UserProperty{Key: PathProperty, Value: strings.Join(append(path(user), b.opts.BrokerID), " ")})
}

// rename finds the route of a topic and what it is called on the other side. nil is none.
func rename(routes []Route, name string, out bool) (*Route, string) {
	for i := range routes {
		r := &routes[i]
		filter, from, to := r.remote(), r.Remote, r.Local
		if out {
			filter, from, to = r.local(), r.Local, r.Remote
		}
		if topic.Match(filter, name) {
			return r, to + strings.TrimPrefix(name, from)
		}
	}
	return nil, ""
}

// outward is p as it goes to the other broker.
func (b *Bridge) outward(p *paho.Publish, r *Route, name string) *paho.Publish {
	q := &paho.Publish{Topic: name, Payload: p.Payload, QoS: min(p.QoS, r.qos(), 1), Retain: p.Retain, Properties: &paho.PublishProperties{}}
	if props := p.Properties; props != nil {
		*q.Properties = paho.PublishProperties{CorrelationData: props.CorrelationData, ContentType: props.ContentType,
			ResponseTopic: props.ResponseTopic, PayloadFormat: props.PayloadFormat, MessageExpiry: props.MessageExpiry, User: b.onward(props.User)}
	} else {
		q.Properties.User = b.onward(nil)
	}
	return q
}

// inward is p as it goes into our broker, as published by the bridge's own client, so that No Local
// keeps it from going back.
func (b *Bridge) inward(p *paho.Publish, r *Route, name string) broker.Message {
	m := broker.Message{Topic: name, ClientID: b.localID(), Principal: principal, Payload: p.Payload, QoS: min(p.QoS, r.qos()), Retain: p.Retain}
	if props := p.Properties; props != nil {
		m.Properties = broker.Properties{PayloadFormat: props.PayloadFormat, ContentType: props.ContentType,
			ResponseTopic: props.ResponseTopic, CorrelationData: props.CorrelationData}
		if props.MessageExpiry != nil {
			m.Properties.Expiry = max(time.Second, time.Duration(*props.MessageExpiry)*time.Second)
		}
		for _, u := range props.User {
			m.Properties.User = append(m.Properties.User, broker.UserProperty{Name: u.Key, Value: u.Value})
		}
	}
	return m
}

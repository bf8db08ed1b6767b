package broker

import (
	"strings"
	"time"

	"github.com/thingloom/thingloom/broker/internal/engine"
	"github.com/thingloom/thingloom/broker/internal/wire"
)

// fromMessage is m as the engine sends it.
func fromMessage(m *Message) *engine.Message {
	e := &engine.Message{Topic: m.Topic, Payload: m.Payload, Props: appendProperties(nil, &m.Properties)}
	if m.Properties.Expiry > 0 {
		e.Expires = m.Time.Add(m.Properties.Expiry).UnixNano()
	}
	return e
}

// queuedSize is what fromMessage(m).Size() gives.
func queuedSize(m *Message) int { return fromMessage(m).Size() }

// appendProperties appends what travels with a message, in the order of the fields.
func appendProperties(dst []byte, p *Properties) []byte {
	if p.PayloadFormat != nil {
		dst = wire.AppendProperty(dst, wire.Property{ID: wire.PayloadFormat, Byte: *p.PayloadFormat})
	}
	if p.ContentType != "" {
		dst = wire.AppendProperty(dst, wire.Property{ID: wire.ContentType, Value: []byte(p.ContentType)})
	}
	if p.ResponseTopic != "" {
		dst = wire.AppendProperty(dst, wire.Property{ID: wire.ResponseTopic, Value: []byte(p.ResponseTopic)})
	}
	if p.CorrelationData != nil {
		dst = wire.AppendProperty(dst, wire.Property{ID: wire.CorrelationData, Value: p.CorrelationData})
	}
	for _, u := range p.User {
		dst = wire.AppendProperty(dst, wire.Property{ID: wire.User, Name: []byte(u.Name), Value: []byte(u.Value)})
	}
	return dst
}

// toProperties is the other way round. Nothing in it shares memory with props.
func toProperties(props []byte, expiry time.Duration) Properties {
	p := Properties{Expiry: expiry}
	wire.Properties(props, func(one wire.Property) {
		switch one.ID {
		case wire.PayloadFormat:
			p.PayloadFormat = &one.Byte
		case wire.ContentType:
			p.ContentType = string(one.Value)
		case wire.ResponseTopic:
			p.ResponseTopic = string(one.Value)
		case wire.CorrelationData:
			p.CorrelationData = append([]byte{}, one.Value...)
		case wire.User:
			p.User = append(p.User, UserProperty{string(one.Name), string(one.Value)})
		}
	})
	return p
}

// checkProperties reports why p cannot be said in MQTT, or nothing.
func checkProperties(p *Properties) string {
	text := func(s string) bool {
		return len(s) <= 65535 && strings.IndexByte(s, 0) < 0 && strings.ToValidUTF8(s, "") == s
	}
	switch {
	case p.PayloadFormat != nil && *p.PayloadFormat > 1:
		return "payload format is neither 0 nor 1"
	case p.Expiry < 0 || p.Expiry > 0xFFFFFFFF*time.Second:
		return "expiry is out of range"
	case !text(p.ContentType):
		return "content type is no MQTT string"
	case !text(p.ResponseTopic) || strings.ContainsAny(p.ResponseTopic, "+#"):
		return "response topic is no topic name"
	case len(p.CorrelationData) > 65535:
		return "correlation data is longer than 65535 bytes"
	}
	for _, u := range p.User {
		if !text(u.Name) || !text(u.Value) {
			return "user property is no MQTT string"
		}
	}
	return ""
}

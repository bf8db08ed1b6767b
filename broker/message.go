package broker

import "time"

// A Message is one application message as the broker accepted it.
type Message struct {
	Topic     string
	ClientID  string // of the publisher; empty for in-process publishes
	Principal string // who the publisher acted as
	SourceIP  string // of the publisher, without port; empty if it has none

	// Payload is owned by the broker: do not modify it. It may be kept.
	Payload []byte
	QoS     byte // 0, 1 or 2
	Retain  bool
	Time    time.Time // when the PUBLISH was accepted

	Properties Properties
}

// Properties are the MQTT 5 properties that travel with a message
// [MQTT-3.3.2.3]. The zero value has none; 3.1.1 clients never see them.
type Properties struct {
	// PayloadFormat is nil when absent, else 0 (bytes) or 1 (UTF-8).
	PayloadFormat *byte
	// Expiry is the message expiry interval; zero means none. Whole seconds.
	Expiry          time.Duration
	ContentType     string
	ResponseTopic   string
	CorrelationData []byte
	User            []UserProperty // in order, names may repeat
}

// A UserProperty is one name and value pair [MQTT-3.3.2-17].
type UserProperty struct{ Name, Value string }

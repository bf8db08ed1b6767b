package rules

import (
	"time"

	"github.com/thingloom/thingloom/internal/sql"
)

// A Message is one event offered to the rules. It is only read.
type Message struct {
	Topic     string // with $aws/rules/<rule>/ before it for Basic Ingest
	ClientID  string // of the publisher; empty: not sent over MQTT
	Principal string // who the publisher acted as; empty: unknown

	// Payload is JSON, or any bytes. It must not change once it was offered:
	// SELECT * passes on these very bytes.
	Payload []byte

	// Time is what timestamp() returns, in milliseconds. Zero means now.
	Time time.Time

	SourceIP string // of the publisher, IPv4 or IPv6
	TraceID  string // a UUID; empty: not sent over MQTT

	Properties Properties
}

// Properties are the MQTT 5 properties of a message that a statement can read
// with get_mqtt_property and get_user_properties. Empty means absent.
type Properties struct {
	UTF8            bool // payload format indicator 1 [MQTT-3.3.2.3.2]
	ContentType     string
	ResponseTopic   string
	CorrelationData []byte
	User            []UserProperty // in order; names may repeat
}

// A UserProperty is one name and value pair.
type UserProperty struct{ Name, Value string }

// put is the message as internal/sql takes it; in is empty but for room. Field
// by field, since in is on the heap and most of it is nothing.
func (m *Message) put(in *sql.Input, account string) {
	in.Payload, in.Topic, in.ClientID, in.Principal = m.Payload, m.Topic, m.ClientID, m.Principal
	in.SourceIP, in.TraceID, in.AccountID, in.Time = m.SourceIP, m.TraceID, account, m.Time
	p := &m.Properties
	in.Properties.UTF8, in.Properties.ContentType = p.UTF8, p.ContentType
	in.Properties.ResponseTopic, in.Properties.CorrelationData = p.ResponseTopic, p.CorrelationData
	for _, u := range p.User {
		in.Properties.User = append(in.Properties.User, sql.UserProperty(u))
	}
}

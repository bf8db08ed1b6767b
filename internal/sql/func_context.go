package sql

import (
	"cmp"
	"encoding/base64"
	"strings"

	"github.com/thingloom/thingloom/internal/uuid"
)

var contextFuncs = map[string]builtin{
	"accountid": {0, 0, false, false, func(e *env, _ []Value) Value { return textOrNone(cmp.Or(e.in.AccountID, e.p.account)) }},
	"clientid": {0, 0, false, false, func(e *env, _ []Value) Value {
		if e.in.ClientID == "" {
			return Value{kind: String, s: "n/a"}
		}
		return textOrNone(e.in.ClientID)
	}},
	"newuuid":             {0, 0, false, false, newUUID},
	"principal":           {0, 0, false, false, func(e *env, _ []Value) Value { return textOrNone(e.in.Principal) }},
	"sourceip":            {0, 0, true, false, func(e *env, _ []Value) Value { return textOrNone(e.in.SourceIP) }},
	"sql_version":         {0, 0, false, false, func(e *env, _ []Value) Value { return textOrNone(e.p.version) }},
	"timestamp":           {0, 0, false, false, func(e *env, _ []Value) Value { return IntValue(e.timestamp()) }},
	"topic":               {0, 1, false, false, topicLevel},
	"traceid":             {0, 0, false, false, func(e *env, _ []Value) Value { return textOrNone(e.in.TraceID) }},
	"get_mqtt_property":   {1, 1, true, false, mqttProperty},
	"get_user_properties": {0, 1, true, false, userProperties},
}

// textOrNone is s as a String, Undefined for what is unknown.
func textOrNone(s string) Value {
	if s == "" {
		return Value{}
	}
	return Value{kind: String, s: strings.ToValidUTF8(s, "\uFFFD")}
}

func newUUID(e *env, _ []Value) Value {
	return e.string(uuid.New().Append(e.sc.grow(36)))
}

// plainTopic is the topic without the prefix of Basic Ingest.
func plainTopic(topic string) string {
	rest, ok := strings.CutPrefix(topic, "$aws/rules/")
	if !ok {
		return topic
	}
	_, rest, _ = strings.Cut(rest, "/")
	return rest
}

func topicLevel(e *env, a []Value) Value {
	topic := plainTopic(e.in.Topic)
	if len(a) == 0 {
		return textOrNone(topic)
	}
	n, ok := e.index(a[0])
	if !ok || n < 1 {
		return Value{}
	}
	for ; n > 1; n-- {
		if _, topic, ok = strings.Cut(topic, "/"); !ok {
			return Value{}
		}
	}
	level, _, _ := strings.Cut(topic, "/")
	return Value{kind: String, s: strings.ToValidUTF8(level, "\uFFFD")}
}

func mqttProperty(e *env, a []Value) Value {
	p := &e.in.Properties
	if a[0].kind != String {
		return Value{}
	}
	switch a[0].s {
	case "content_type":
		return textOrNone(p.ContentType)
	case "response_topic":
		return textOrNone(p.ResponseTopic)
	case "correlation_data":
		if len(p.CorrelationData) == 0 {
			return Value{}
		}
		return e.string(base64.StdEncoding.AppendEncode(e.sc.grow(2*len(p.CorrelationData)+4), p.CorrelationData))
	case "format_indicator":
		if p.UTF8 {
			return Value{kind: String, s: "UTF8_DATA"}
		}
		return Value{kind: String, s: "UNSPECIFIED_BYTES"}
	}
	return Value{}
}

// userProperties are the values of one key, or all as objects of one member.
func userProperties(e *env, a []Value) Value {
	if !e.charge(len(e.in.Properties.User)) {
		return Value{}
	}
	b := append(e.buffer(), '[')
	defer func() { e.done(b) }()
	for _, p := range e.in.Properties.User {
		if len(a) == 1 && (a[0].kind != String || p.Name != a[0].s) {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		name, value := strings.ToValidUTF8(p.Name, "\uFFFD"), strings.ToValidUTF8(p.Value, "\uFFFD")
		if len(a) == 1 {
			b = appendString(b, value)
			continue
		}
		b = append(appendString(append(b, '{'), name), ':')
		b = append(appendString(b, value), '}')
	}
	if len(b) == 1 {
		return Value{} // none
	}
	b = append(b, ']')
	return e.raw(Array, append(e.sc.grow(len(b)), b...))
}

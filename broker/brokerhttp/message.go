package brokerhttp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/thingloom/thingloom/broker"
)

const (
	userHeader        = "X-Amz-Mqtt5-User-Properties"
	formatHeader      = "X-Amz-Mqtt5-Payload-Format-Indicator"
	correlationHeader = "X-Amz-Mqtt5-Correlation-Data"
)

// messageOf is what a publish request says, but for its body. Unknown query
// parameters are signatures and the like, and are left to others.
func (h *Handler) messageOf(r *http.Request, escaped string) (m broker.Message, err error) {
	if m.Topic, err = topicName(escaped); err != nil {
		return m, err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return m, &RequestError{"query", err.Error()}
	}
	p := &m.Properties
	p.ContentType, p.ResponseTopic = query.Get("contentType"), query.Get("responseTopic")
	if p.ResponseTopic != "" {
		if _, err := topicName(url.PathEscape(p.ResponseTopic)); err != nil {
			return m, wrongParameter("responseTopic", "not a topic name")
		}
	}
	if !utf8.ValidString(p.ContentType) {
		return m, wrongParameter("contentType", "not UTF-8")
	}
	switch qos := query.Get("qos"); qos {
	case "", "0":
	case "1":
		m.QoS = 1
	default:
		return m, wrongParameter("qos", fmt.Sprintf("%q is neither 0 nor 1", qos))
	}
	switch retain := query.Get("retain"); retain {
	case "", "false":
	case "true":
		m.Retain = true
	default:
		return m, wrongParameter("retain", fmt.Sprintf("%q is neither true nor false", retain))
	}
	if query.Has("messageExpiry") {
		// Zero would expire at once: it is raised to a second, as the
		// service does with that of MQTT.
		seconds, err := strconv.ParseUint(query.Get("messageExpiry"), 10, 32)
		if err != nil {
			return m, wrongParameter("messageExpiry", fmt.Sprintf("%q is not a number of seconds from 0 to 4294967295", query.Get("messageExpiry")))
		}
		p.Expiry = min(max(time.Duration(seconds)*time.Second, time.Second), h.opts.MaxExpiry)
	}
	return m, headersOf(r.Header, p)
}

func wrongParameter(name, reason string) error {
	return &RequestError{"query parameter " + name, reason}
}

func headersOf(header http.Header, p *broker.Properties) error {
	switch v := header.Get(formatHeader); v {
	case "":
	case "UNSPECIFIED_BYTES":
		p.PayloadFormat = new(byte)
	case "UTF8_DATA":
		utf8 := byte(1)
		p.PayloadFormat = &utf8
	default:
		return &RequestError{"header " + formatHeader, fmt.Sprintf("%q is neither UNSPECIFIED_BYTES nor UTF8_DATA", v)}
	}
	if v := header.Get(correlationHeader); v != "" {
		data, err := base64.StdEncoding.DecodeString(v)
		if err != nil {
			return &RequestError{"header " + correlationHeader, err.Error()}
		}
		p.CorrelationData = data
	}
	if v := header.Get(userHeader); v != "" {
		user, err := decodeUser(v)
		if err != nil {
			return &RequestError{"header " + userHeader, err.Error()}
		}
		p.User = user
	}
	return nil
}

// decodeUser reads base64 of [{"name":"value"}, ...], in which some clients
// have the array as a JSON string.
func decodeUser(encoded string) ([]broker.UserProperty, error) {
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	var quoted string
	if json.Unmarshal(text, &quoted) == nil {
		text = []byte(quoted)
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(text, &elements); err != nil {
		return nil, fmt.Errorf("not a JSON array: %w", err)
	}
	user := make([]broker.UserProperty, len(elements))
	for i, e := range elements {
		if err := decodePair(e, &user[i]); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return user, nil
}

// decodePair reads an object with one member, by its tokens: a map would hide
// a second member of the same name.
func decodePair(object []byte, u *broker.UserProperty) error {
	d := json.NewDecoder(bytes.NewReader(object))
	var tokens []json.Token
	for {
		t, err := d.Token()
		if err != nil {
			break // the end: json.Unmarshal has found the text valid
		}
		if tokens = append(tokens, t); len(tokens) > 4 {
			break
		}
	}
	if len(tokens) == 4 && tokens[0] == json.Delim('{') {
		name, isName := tokens[1].(string)
		value, isText := tokens[2].(string)
		if isName && isText {
			*u = broker.UserProperty{Name: name, Value: value}
			return nil
		}
	}
	return fmt.Errorf("%s is not an object with one member that is a string", object)
}

// encodeUser is the reverse of decodeUser, nil for no properties.
func encodeUser(user []broker.UserProperty) []byte {
	if len(user) == 0 {
		return nil
	}
	pairs := make([]map[string]string, len(user))
	for i, u := range user {
		pairs[i] = map[string]string{u.Name: u.Value}
	}
	text, err := json.Marshal(pairs)
	if err != nil {
		panic(err) // strings always marshal
	}
	return text
}

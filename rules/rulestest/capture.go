package rulestest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
	"unicode/utf8"

	"github.com/thingloom/thingloom/rules"
)

// maxLine is the longest line of a capture, in bytes.
const maxLine = 4 << 20

// A captureLine is one message of a capture. Exactly one of the payloads is
// set, or none for an empty one.
type captureLine struct {
	Topic     string          `json:"topic"`
	Time      time.Time       `json:"time,omitzero"`
	ClientID  string          `json:"clientId,omitempty"`
	Principal string          `json:"principal,omitempty"`
	SourceIP  string          `json:"sourceIp,omitempty"`
	TraceID   string          `json:"traceId,omitempty"`
	Payload   json.RawMessage `json:"payload,omitempty"`       // the payload itself, if it is JSON
	Base64    []byte          `json:"payloadBase64,omitempty"` // any payload
}

// ReadCapture reads a capture: one JSON object a line, for one message.
//
//	{"topic": "sensors/s1", "time": "2026-01-02T03:04:05Z", "principal": "p", "payload": {"t": 31}}
//	{"topic": "raw", "clientId": "c", "sourceIp": "192.0.2.1", "traceId": "...", "payloadBase64": "AAEC"}
//
// Only topic is required. The bytes of payload are those of the line, digit for
// digit. Empty lines are skipped. An error names the line and ends the
// sequence: an unknown member, two payloads, a line above 4 MiB.
func ReadCapture(r io.Reader) iter.Seq2[rules.Message, error] {
	return func(yield func(rules.Message, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxLine)
		n := 0
		for lines.Scan() {
			n++
			line := bytes.TrimSpace(lines.Bytes())
			if len(line) == 0 {
				continue
			}
			m, err := parseCapture(line)
			if err != nil {
				yield(rules.Message{}, fmt.Errorf("rulestest: capture, line %d: %w", n, err))
				return
			}
			if !yield(m, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(rules.Message{}, fmt.Errorf("rulestest: capture, line %d: %w", n+1, err))
		}
	}
}

func parseCapture(line []byte) (rules.Message, error) {
	var c captureLine
	if err := decodeStrictly(line, &c); err != nil {
		return rules.Message{}, err
	}
	switch {
	case c.Topic == "":
		return rules.Message{}, errors.New("topic is missing")
	case c.Payload != nil && c.Base64 != nil:
		return rules.Message{}, errors.New("there are both payload and payloadBase64")
	}
	m := rules.Message{Topic: c.Topic, Time: c.Time, ClientID: c.ClientID, Principal: c.Principal, SourceIP: c.SourceIP,
		TraceID: c.TraceID, Payload: c.Base64}
	if c.Payload != nil {
		m.Payload = bytes.Clone(c.Payload)
	}
	return m, nil
}

// decodeStrictly refuses unknown members and anything after the value.
func decodeStrictly(text []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after the object")
	}
	return nil
}

// AppendCapture appends the line of m to out, its newline included. Properties
// are not part of a capture.
func AppendCapture(out []byte, m *rules.Message) ([]byte, error) {
	c := captureLine{Topic: m.Topic, Time: m.Time.UTC(), ClientID: m.ClientID, Principal: m.Principal, SourceIP: m.SourceIP, TraceID: m.TraceID}
	if m.Topic == "" {
		return out, errors.New("rulestest: a captured message needs a topic")
	}
	plain := utf8.Valid(m.Payload) && json.Valid(m.Payload) && !bytes.ContainsAny(m.Payload, "\r\n") &&
		len(bytes.TrimSpace(m.Payload)) == len(m.Payload)
	if !plain && len(m.Payload) > 0 {
		c.Base64 = m.Payload
	}
	if y := c.Time.Year(); y < 0 || y > 9999 {
		c.Time = m.Time // JSON has years of four digits, which another zone may be in
	}
	line, err := json.Marshal(c)
	if err != nil {
		return out, fmt.Errorf("rulestest: %w", err)
	}
	out = append(out, line...)
	if plain {
		// Marshal would rewrite the payload; its bytes are to stay.
		out = append(out[:len(out)-1], `,"payload":`...)
		out = append(append(out, m.Payload...), '}')
	}
	return append(out, '\n'), nil
}

// ReadRules reads rules as JSON: objects, one after the other, or arrays of
// them. Each is a rule as AWS has it with its ruleName, see [rules.Rule].
func ReadRules(r io.Reader) ([]rules.Rule, error) {
	var all []rules.Rule
	dec := json.NewDecoder(r)
	for {
		var text json.RawMessage
		err := dec.Decode(&text)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("rulestest: rules, byte %d: %w", dec.InputOffset(), err)
		}
		var some []rules.Rule
		if text[0] == '[' {
			err = decodeStrictly(text, &some)
		} else {
			some = make([]rules.Rule, 1)
			err = decodeStrictly(text, &some[0])
		}
		if err != nil {
			return nil, fmt.Errorf("rulestest: rules, before byte %d: %w", dec.InputOffset(), err)
		}
		all = append(all, some...)
	}
}

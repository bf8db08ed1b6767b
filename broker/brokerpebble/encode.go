package brokerpebble

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/internal/record"
)

const recordFormat = 0x01

// Flags of a message record.
const (
	msgQoS         = 0b11
	msgRetain      = 1 << 2
	msgFormat      = 1 << 3
	msgExpiry      = 1 << 4
	msgCorrelation = 1 << 5
	msgUser        = 1 << 6
	msgTime        = 1 << 7
)

// Flags of a session record, and of a subscription in it.
const (
	sessDisconnected = 1 << 0
	sessWill         = 1 << 1
	sessDelay        = 1 << 2
	sessWillBy       = 1 << 3
	sessWillOwn      = 1 << 4
	sessOfWill       = sessDelay | sessWillBy | sessWillOwn

	subQoS               = 0b11
	subNoLocal           = 1 << 2
	subRetainAsPublished = 1 << 3
	subHandling          = 0b11 << 4
)

// checkMessage refuses what the record cannot say.
func checkMessage(m *broker.Message) error {
	p := &m.Properties
	if m.QoS > 2 {
		return fmt.Errorf("brokerpebble: message to %q: QoS %d", m.Topic, m.QoS)
	}
	if p.Expiry < 0 {
		return fmt.Errorf("brokerpebble: message to %q: expiry %v", m.Topic, p.Expiry)
	}
	if len(m.Topic) > math.MaxUint16 || len(m.ClientID) > math.MaxUint16 {
		return ErrTooLong
	}
	return nil
}

func checkEntry(e *broker.Entry) error {
	if e.Modes != nil && len(e.Modes) != len(e.ClientIDs) {
		return fmt.Errorf("brokerpebble: message to %q: %d modes for %d sessions", e.Message.Topic, len(e.Modes), len(e.ClientIDs))
	}
	for _, m := range e.Modes {
		if m.QoS > 2 {
			return fmt.Errorf("brokerpebble: message to %q: QoS %d", e.Message.Topic, m.QoS)
		}
	}
	return checkMessage(&e.Message)
}

// appendMode appends a reference with a mode. It is never as long as the record of a message.
func appendMode(b []byte, m broker.Mode) []byte {
	flags := m.QoS & msgQoS
	if m.Retain {
		flags |= msgRetain
	}
	return append(b, flags)
}

// appendMessage appends the record of m, which checkMessage accepted.
func appendMessage(b []byte, m *broker.Message) []byte {
	p := &m.Properties
	flags := m.QoS & msgQoS
	for _, f := range []struct {
		set  bool
		flag byte
	}{
		{m.Retain, msgRetain},
		{p.PayloadFormat != nil, msgFormat},
		{p.Expiry != 0, msgExpiry},
		{p.CorrelationData != nil, msgCorrelation},
		{len(p.User) > 0, msgUser},
		{!m.Time.IsZero(), msgTime},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	b = append(b, recordFormat, flags)
	b = record.AppendBytes(b, m.Topic)
	b = record.AppendBytes(b, m.ClientID)
	b = record.AppendBytes(b, m.Principal)
	if flags&msgTime != 0 {
		b = record.AppendTime(b, m.Time)
	}
	if flags&msgFormat != 0 {
		b = append(b, *p.PayloadFormat)
	}
	if flags&msgExpiry != 0 {
		b = binary.AppendUvarint(b, uint64(p.Expiry))
	}
	b = record.AppendBytes(b, p.ContentType)
	b = record.AppendBytes(b, p.ResponseTopic)
	if flags&msgCorrelation != 0 {
		b = record.AppendBytes(b, p.CorrelationData)
	}
	if flags&msgUser != 0 {
		b = binary.AppendUvarint(b, uint64(len(p.User)))
		for _, u := range p.User {
			b = record.AppendBytes(b, u.Name)
			b = record.AppendBytes(b, u.Value)
		}
	}
	return record.AppendBytes(b, m.Payload)
}

func checkSession(s *broker.Session) error {
	if len(s.ClientID) > math.MaxUint16 {
		return ErrTooLong
	}
	for _, sub := range s.Subscriptions {
		if sub.QoS > 2 || sub.RetainHandling > 2 {
			return fmt.Errorf("brokerpebble: session %q: filter %q: QoS %d, retain handling %d",
				s.ClientID, sub.Filter, sub.QoS, sub.RetainHandling)
		}
	}
	if s.Will != nil {
		if s.Will.Delay < 0 {
			return fmt.Errorf("brokerpebble: session %q: will delay %v", s.ClientID, s.Will.Delay)
		}
		return checkMessage(&s.Will.Message)
	}
	return nil
}

// appendSession appends the record of s, which checkSession accepted.
func appendSession(b []byte, s *broker.Session) []byte {
	var flags byte
	if !s.Disconnected.IsZero() {
		flags |= sessDisconnected
	}
	if s.Will != nil {
		flags |= sessWill
		if s.Will.Delay > 0 {
			flags |= sessDelay
		}
		if s.Will.Thing != "" || s.Will.Message.SourceIP != "" {
			flags |= sessWillBy
		}
		if s.Will.OwnAuthorizer {
			flags |= sessWillOwn
		}
	}
	b = append(b, recordFormat, s.Version, flags)
	b = record.AppendBytes(b, s.ClientID)
	b = record.AppendBytes(b, s.Principal)
	b = binary.AppendVarint(b, int64(s.Expiry))
	if flags&sessDisconnected != 0 {
		b = record.AppendTime(b, s.Disconnected)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Subscriptions)))
	for _, sub := range s.Subscriptions {
		b = record.AppendBytes(b, sub.Filter)
		opts := sub.QoS&subQoS | sub.RetainHandling<<4&subHandling
		if sub.NoLocal {
			opts |= subNoLocal
		}
		if sub.RetainAsPublished {
			opts |= subRetainAsPublished
		}
		b = append(b, opts)
		b = binary.AppendUvarint(b, uint64(sub.Identifier))
	}
	if flags&sessDelay != 0 {
		b = binary.AppendUvarint(b, uint64(s.Will.Delay))
	}
	if flags&sessWillBy != 0 {
		b = record.AppendBytes(b, s.Will.Thing)
		b = record.AppendBytes(b, s.Will.Message.SourceIP)
	}
	if s.Will != nil {
		b = record.AppendTime(b, s.Will.Due)
		b = record.AppendBytes(b, appendMessage(nil, &s.Will.Message))
	}
	return b
}

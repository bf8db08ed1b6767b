package brokerpebble

import (
	"math"
	"time"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/internal/record"
)

// A reader takes a record apart.
type reader struct{ record.Reader }

// corrupt is the error of what was read under key, nil when all of the record
// was used up without a fault.
func (r *reader) corrupt(key []byte) error {
	if f := r.End(); f != nil {
		return &CorruptError{Key: append([]byte(nil), key...), Offset: f.Offset, Reason: f.Reason}
	}
	return nil
}

func (r *reader) format() {
	if r.Byte() != recordFormat {
		r.Fail("unknown record format")
	}
}

func (r *reader) message() (m broker.Message) {
	r.format()
	flags := r.Byte()
	p := &m.Properties
	m.QoS = flags & msgQoS
	if m.QoS > 2 {
		r.Fail("QoS 3")
	}
	m.Retain = flags&msgRetain != 0
	m.Topic, m.ClientID, m.Principal = r.String(), r.String(), r.String()
	if flags&msgTime != 0 {
		m.Time = r.Time()
	}
	if flags&msgFormat != 0 {
		v := r.Byte()
		p.PayloadFormat = &v
	}
	if flags&msgExpiry != 0 {
		v := r.Uvarint()
		if v == 0 || v > math.MaxInt64 {
			r.Fail("expiry out of range")
		}
		p.Expiry = time.Duration(v)
	}
	p.ContentType, p.ResponseTopic = r.String(), r.String()
	if flags&msgCorrelation != 0 {
		p.CorrelationData = r.Bytes()
	}
	if flags&msgUser != 0 {
		n := r.Count(2)
		if n == 0 {
			r.Fail("no user properties")
		}
		p.User = make([]broker.UserProperty, n)
		for i := range p.User {
			p.User[i] = broker.UserProperty{Name: r.String(), Value: r.String()}
		}
	}
	m.Payload = r.Bytes()
	return m
}

func (r *reader) session() (s broker.Session) {
	r.format()
	s.Version = r.Byte()
	flags := r.Byte()
	if flags&^(sessDisconnected|sessWill|sessOfWill) != 0 || flags&sessWill == 0 && flags&sessOfWill != 0 {
		r.Fail("unknown flag")
	}
	s.ClientID, s.Principal = r.String(), r.String()
	s.Expiry = time.Duration(r.Varint())
	if flags&sessDisconnected != 0 {
		s.Disconnected = r.Time()
	}
	if n := r.Count(3); n > 0 {
		s.Subscriptions = make([]broker.Subscription, n)
	}
	for i := range s.Subscriptions {
		sub := &s.Subscriptions[i]
		sub.Filter = r.String()
		opts := r.Byte()
		sub.QoS, sub.RetainHandling = opts&subQoS, opts&subHandling>>4
		if opts>>6 != 0 || sub.QoS > 2 || sub.RetainHandling > 2 {
			r.Fail("bad subscription options")
		}
		sub.NoLocal, sub.RetainAsPublished = opts&subNoLocal != 0, opts&subRetainAsPublished != 0
		id := r.Uvarint()
		if id > math.MaxUint32 {
			r.Fail("subscription identifier out of range")
		}
		sub.Identifier = uint32(id)
	}
	if flags&sessWill != 0 {
		var delay uint64
		if flags&sessDelay != 0 {
			if delay = r.Uvarint(); delay == 0 || delay > math.MaxInt64 {
				r.Fail("will delay out of range")
			}
		}
		var thing, ip string
		if flags&sessWillBy != 0 {
			if thing, ip = r.String(), r.String(); thing == "" && ip == "" {
				r.Fail("will by nobody")
			}
		}
		s.Will = &broker.PendingWill{Delay: time.Duration(delay), Due: r.Time(), Thing: thing, OwnAuthorizer: flags&sessWillOwn != 0}
		part := r.View()
		inner := reader{record.NewReader(part)}
		s.Will.Message = inner.message()
		s.Will.Message.SourceIP = ip
		r.Within("will", part, inner.End())
	}
	return s
}

// decodeMode reports whether rec is a reference to the shared log, and how its session gets the message; nil is as the
// message says.
func decodeMode(key, rec []byte) (m *broker.Mode, reference bool, err error) {
	switch {
	case len(rec) == 0:
		return nil, true, nil
	case len(rec) > 1:
		return nil, false, nil
	case rec[0]&^(msgQoS|msgRetain) != 0 || rec[0]&msgQoS > 2:
		return nil, true, &CorruptError{Key: append([]byte(nil), key...), Reason: "unknown mode"}
	}
	return &broker.Mode{QoS: rec[0] & msgQoS, Retain: rec[0]&msgRetain != 0}, true, nil
}

func decodeMessage(key, rec []byte) (broker.Message, error) {
	r := reader{record.NewReader(rec)}
	m := r.message()
	if err := r.corrupt(key); err != nil {
		return broker.Message{}, err
	}
	return m, nil
}

func decodeSession(key, rec []byte) (broker.Session, error) {
	r := reader{record.NewReader(rec)}
	s := r.session()
	if err := r.corrupt(key); err != nil {
		return broker.Session{}, err
	}
	return s, nil
}

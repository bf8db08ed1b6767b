package brokerpebble

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/thingloom/thingloom/broker"
)

// A reader takes a record apart. After the first fault it gives zero values and
// keeps the fault; whoever reads checks it once, at the end.
type reader struct {
	rec    []byte
	at     int
	reason string // of the first fault
}

func (r *reader) fail(reason string) {
	if r.reason == "" {
		r.reason = reason
	}
}

// corrupt is the error of what was read under key, nil when all of the record
// was used up without a fault.
func (r *reader) corrupt(key []byte) error {
	if r.reason == "" && r.at < len(r.rec) {
		r.fail("bytes after the end")
	}
	if r.reason == "" {
		return nil
	}
	return &CorruptError{Key: append([]byte(nil), key...), Offset: r.at, Reason: r.reason}
}

func (r *reader) byte() byte {
	if r.reason != "" || r.at >= len(r.rec) {
		r.fail("too short")
		return 0
	}
	r.at++
	return r.rec[r.at-1]
}

func (r *reader) uvarint() uint64 {
	if r.reason != "" {
		return 0
	}
	v, n := binary.Uvarint(r.rec[r.at:])
	if n <= 0 {
		r.fail("bad unsigned varint")
		return 0
	}
	r.at += n
	return v
}

func (r *reader) varint() int64 {
	if r.reason != "" {
		return 0
	}
	v, n := binary.Varint(r.rec[r.at:])
	if n <= 0 {
		r.fail("bad varint")
		return 0
	}
	r.at += n
	return v
}

// view reads a string as a part of the record.
func (r *reader) view() []byte {
	n := r.uvarint()
	if r.reason != "" {
		return nil
	}
	if n > uint64(len(r.rec)-r.at) {
		r.fail("string longer than the record")
		return nil
	}
	r.at += int(n)
	return r.rec[r.at-int(n) : r.at : r.at]
}

// bytes reads a string as a copy that is never nil.
func (r *reader) bytes() []byte { return append([]byte{}, r.view()...) }

func (r *reader) string() string { return string(r.view()) }

// count reads a number of elements of at least size bytes each.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64((len(r.rec)-r.at)/size) {
		r.fail("more elements than the record has room for")
		return 0
	}
	return int(n)
}

func (r *reader) time() time.Time {
	sec, nsec := r.varint(), r.uvarint()
	if nsec >= uint64(time.Second) {
		r.fail("nanoseconds of a second or more")
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec)).UTC()
}

func (r *reader) format() {
	if r.byte() != recordFormat {
		r.fail("unknown record format")
	}
}

func (r *reader) message() (m broker.Message) {
	r.format()
	flags := r.byte()
	p := &m.Properties
	m.QoS = flags & msgQoS
	if m.QoS > 2 {
		r.fail("QoS 3")
	}
	m.Retain = flags&msgRetain != 0
	m.Topic, m.ClientID, m.Principal = r.string(), r.string(), r.string()
	if flags&msgTime != 0 {
		m.Time = r.time()
	}
	if flags&msgFormat != 0 {
		v := r.byte()
		p.PayloadFormat = &v
	}
	if flags&msgExpiry != 0 {
		v := r.uvarint()
		if v == 0 || v > math.MaxInt64 {
			r.fail("expiry out of range")
		}
		p.Expiry = time.Duration(v)
	}
	p.ContentType, p.ResponseTopic = r.string(), r.string()
	if flags&msgCorrelation != 0 {
		p.CorrelationData = r.bytes()
	}
	if flags&msgUser != 0 {
		n := r.count(2)
		if n == 0 {
			r.fail("no user properties")
		}
		p.User = make([]broker.UserProperty, n)
		for i := range p.User {
			p.User[i] = broker.UserProperty{Name: r.string(), Value: r.string()}
		}
	}
	m.Payload = r.bytes()
	return m
}

func (r *reader) session() (s broker.Session) {
	r.format()
	s.Version = r.byte()
	flags := r.byte()
	if flags&^(sessDisconnected|sessWill|sessOfWill) != 0 || flags&sessWill == 0 && flags&sessOfWill != 0 {
		r.fail("unknown flag")
	}
	s.ClientID, s.Principal = r.string(), r.string()
	s.Expiry = time.Duration(r.varint())
	if flags&sessDisconnected != 0 {
		s.Disconnected = r.time()
	}
	if n := r.count(3); n > 0 {
		s.Subscriptions = make([]broker.Subscription, n)
	}
	for i := range s.Subscriptions {
		sub := &s.Subscriptions[i]
		sub.Filter = r.string()
		opts := r.byte()
		sub.QoS, sub.RetainHandling = opts&subQoS, opts&subHandling>>4
		if opts>>6 != 0 || sub.QoS > 2 || sub.RetainHandling > 2 {
			r.fail("bad subscription options")
		}
		sub.NoLocal, sub.RetainAsPublished = opts&subNoLocal != 0, opts&subRetainAsPublished != 0
		id := r.uvarint()
		if id > math.MaxUint32 {
			r.fail("subscription identifier out of range")
		}
		sub.Identifier = uint32(id)
	}
	if flags&sessWill != 0 {
		var delay uint64
		if flags&sessDelay != 0 {
			if delay = r.uvarint(); delay == 0 || delay > math.MaxInt64 {
				r.fail("will delay out of range")
			}
		}
		var thing, ip string
		if flags&sessWillBy != 0 {
			if thing, ip = r.string(), r.string(); thing == "" && ip == "" {
				r.fail("will by nobody")
			}
		}
		s.Will = &broker.PendingWill{Delay: time.Duration(delay), Due: r.time(), Thing: thing, OwnAuthorizer: flags&sessWillOwn != 0}
		inner := reader{rec: r.view()}
		s.Will.Message = inner.message()
		s.Will.Message.SourceIP = ip
		if inner.corrupt(nil) != nil {
			r.at -= len(inner.rec) - inner.at
			r.fail("will: " + inner.reason)
		}
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
	r := reader{rec: rec}
	m := r.message()
	if err := r.corrupt(key); err != nil {
		return broker.Message{}, err
	}
	return m, nil
}

func decodeSession(key, rec []byte) (broker.Session, error) {
	r := reader{rec: rec}
	s := r.session()
	if err := r.corrupt(key); err != nil {
		return broker.Session{}, err
	}
	return s, nil
}

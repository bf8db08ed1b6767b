package actions

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/thingloom/thingloom/internal/record"
)

// The stored form of a Request, as queues on disk keep it:
//
//	version   1 byte, 1
//	flags     1 byte: 1 payload equals source, 2 has properties, 4 UTF8,
//	          8 payload is nil, 16 source is nil, 32 has hops
//	time      varint seconds and uvarint nanoseconds since the Unix epoch
//	strings   ID, Rule, Topic, ClientID, Principal, SourceIP, TraceID
//	vars      uvarint count, then name, 1 byte (1: has a value), value
//	props     ContentType, ResponseTopic, CorrelationData, uvarint count,
//	          names and values; only with flag 2
//	source    bytes
//	payload   bytes; not with flag 1
//	hops      uvarint; only with flag 32, which requests without hops lack:
//	          they look as those of programs that knew no hops
//
// Strings and bytes are a uvarint length and that many bytes. Attempt and
// Done are not stored.
const codecVersion = 1

const (
	flagSame = 1 << iota
	flagProperties
	flagUTF8
	flagNilPayload
	flagNilSource
	flagHops
	flagsAll = 1<<iota - 1
)

// Size is about what the request takes in memory and on disk, in bytes; what Limits.MaxBytes counts.
func (r *Request) Size() int64 {
	n := 64 + len(r.ID) + len(r.Rule) + len(r.Topic) + len(r.ClientID) + len(r.Principal) +
		len(r.SourceIP) + len(r.TraceID) + len(r.Payload) + len(r.Source)
	for i := range r.Vars {
		n += 40 + len(r.Vars[i].Name) + len(r.Vars[i].Value)
	}
	if p := r.Properties; p != nil {
		n += 88 + len(p.ContentType) + len(p.ResponseTopic) + len(p.CorrelationData)
		for i := range p.User {
			n += 32 + len(p.User[i].Name) + len(p.User[i].Value)
		}
	}
	return int64(n)
}

// AppendBinary appends the stored form of r to b. The error is always nil.
func (r *Request) AppendBinary(b []byte) ([]byte, error) {
	var flags byte
	same := len(r.Payload) > 0 && bytes.Equal(r.Payload, r.Source)
	for _, f := range []struct {
		set bool
		bit byte
	}{{same, flagSame}, {r.Properties != nil, flagProperties}, {r.Properties != nil && r.Properties.UTF8, flagUTF8},
		{r.Payload == nil, flagNilPayload}, {r.Source == nil, flagNilSource}, {r.Hops > 0, flagHops}} {
		if f.set {
			flags |= f.bit
		}
	}
	b = append(b, codecVersion, flags)
	b = record.AppendTime(b, r.Time)
	for _, s := range [...]string{r.ID, r.Rule, r.Topic, r.ClientID, r.Principal, r.SourceIP, r.TraceID} {
		b = record.AppendBytes(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Vars)))
	for i := range r.Vars {
		b = record.AppendBytes(b, r.Vars[i].Name)
		if r.Vars[i].Value == nil {
			b = append(b, 0)
		} else {
			b = record.AppendBytes(append(b, 1), r.Vars[i].Value)
		}
	}
	if p := r.Properties; p != nil {
		b = record.AppendBytes(b, p.ContentType)
		b = record.AppendBytes(b, p.ResponseTopic)
		b = record.AppendBytes(b, p.CorrelationData)
		b = binary.AppendUvarint(b, uint64(len(p.User)))
		for i := range p.User {
			b = record.AppendBytes(b, p.User[i].Name)
			b = record.AppendBytes(b, p.User[i].Value)
		}
	}
	b = record.AppendBytes(b, r.Source)
	if !same {
		b = record.AppendBytes(b, r.Payload)
	}
	if r.Hops > 0 {
		b = binary.AppendUvarint(b, uint64(r.Hops))
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote; anything else is ErrCorrupt.
// It shares no memory with b.
func (r *Request) UnmarshalBinary(b []byte) error {
	d := record.NewReader(b)
	if v := d.Byte(); d.Fault() == nil && v != codecVersion {
		d.Fail(fmt.Sprintf("version %d", v))
	}
	flags := d.Byte()
	if flags&^flagsAll != 0 {
		d.Fail(fmt.Sprintf("flags %#x", flags))
	}
	q := Request{Time: d.Time()}
	for _, s := range [...]*string{&q.ID, &q.Rule, &q.Topic, &q.ClientID, &q.Principal, &q.SourceIP, &q.TraceID} {
		*s = d.String()
	}
	for n := d.Count(2); n > 0 && d.Fault() == nil; n-- {
		v := Var{Name: d.String()}
		switch d.Byte() {
		case 0:
		case 1:
			v.Value = d.Bytes()
		default:
			d.Fail("a variable that has neither a value nor none")
		}
		q.Vars = append(q.Vars, v)
	}
	if flags&flagProperties != 0 {
		p := &Properties{UTF8: flags&flagUTF8 != 0}
		p.ContentType, p.ResponseTopic = d.String(), d.String()
		p.CorrelationData = bytes.Clone(d.View())
		for n := d.Count(2); n > 0 && d.Fault() == nil; n-- {
			p.User = append(p.User, UserProperty{d.String(), d.String()})
		}
		q.Properties = p
	}
	q.Source = d.Bytes()
	if flags&flagSame != 0 {
		q.Payload = q.Source
	} else {
		q.Payload = d.Bytes()
	}
	if flags&flagHops != 0 {
		hops := d.Uvarint()
		if hops > math.MaxInt32 {
			d.Fail("hops out of range")
		}
		q.Hops = int(hops)
	}
	if flags&flagNilPayload != 0 {
		q.Payload = nil
	}
	if flags&flagNilSource != 0 {
		q.Source = nil
	}
	if f := d.End(); f != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, f)
	}
	*r = q
	return nil
}

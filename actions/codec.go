package actions

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"time"
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
	b = binary.AppendVarint(b, r.Time.Unix())
	b = binary.AppendUvarint(b, uint64(r.Time.Nanosecond()))
	for _, s := range [...]string{r.ID, r.Rule, r.Topic, r.ClientID, r.Principal, r.SourceIP, r.TraceID} {
		b = appendBytes(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Vars)))
	for i := range r.Vars {
		b = appendBytes(b, r.Vars[i].Name)
		if r.Vars[i].Value == nil {
			b = append(b, 0)
		} else {
			b = appendBytes(append(b, 1), r.Vars[i].Value)
		}
	}
	if p := r.Properties; p != nil {
		b = appendBytes(b, p.ContentType)
		b = appendBytes(b, p.ResponseTopic)
		b = appendBytes(b, p.CorrelationData)
		b = binary.AppendUvarint(b, uint64(len(p.User)))
		for i := range p.User {
			b = appendBytes(b, p.User[i].Name)
			b = appendBytes(b, p.User[i].Value)
		}
	}
	b = appendBytes(b, r.Source)
	if !same {
		b = appendBytes(b, r.Payload)
	}
	if r.Hops > 0 {
		b = binary.AppendUvarint(b, uint64(r.Hops))
	}
	return b, nil
}

func appendBytes[T string | []byte | json.RawMessage](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// UnmarshalBinary reads what AppendBinary wrote; anything else is ErrCorrupt.
// It shares no memory with b.
func (r *Request) UnmarshalBinary(b []byte) error {
	d := decoder{b: b}
	if v := d.byte(); d.err == nil && v != codecVersion {
		return fmt.Errorf("%w: version %d", ErrCorrupt, v)
	}
	flags := d.byte()
	if flags&^flagsAll != 0 {
		return fmt.Errorf("%w: flags %#x", ErrCorrupt, flags)
	}
	sec := d.varint()
	nsec := d.uvarint(1e9 - 1)
	q := Request{Time: time.Unix(sec, int64(nsec)).UTC()}
	for _, s := range [...]*string{&q.ID, &q.Rule, &q.Topic, &q.ClientID, &q.Principal, &q.SourceIP, &q.TraceID} {
		*s = string(d.bytes())
	}
	for n := d.count(2); n > 0 && d.err == nil; n-- {
		v := Var{Name: string(d.bytes())}
		switch d.byte() {
		case 0:
		case 1:
			v.Value = append(json.RawMessage{}, d.bytes()...)
		default:
			d.fail("variable")
		}
		q.Vars = append(q.Vars, v)
	}
	if flags&flagProperties != 0 {
		p := &Properties{UTF8: flags&flagUTF8 != 0}
		p.ContentType, p.ResponseTopic = string(d.bytes()), string(d.bytes())
		p.CorrelationData = bytes.Clone(d.bytes())
		for n := d.count(2); n > 0 && d.err == nil; n-- {
			p.User = append(p.User, UserProperty{string(d.bytes()), string(d.bytes())})
		}
		q.Properties = p
	}
	q.Source = append([]byte{}, d.bytes()...)
	if flags&flagSame != 0 {
		q.Payload = q.Source
	} else {
		q.Payload = append([]byte{}, d.bytes()...)
	}
	if flags&flagHops != 0 {
		q.Hops = int(d.uvarint(math.MaxInt32))
	}
	if flags&flagNilPayload != 0 {
		q.Payload = nil
	}
	if flags&flagNilSource != 0 {
		q.Source = nil
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail("bytes left over")
	}
	if d.err != nil {
		return d.err
	}
	*r = q
	return nil
}

// A decoder reads a stored form; after the first error it yields zeros.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrCorrupt, what)
	}
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("truncated")
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > most {
		d.fail("number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads how many items of at least size bytes follow; a claim beyond the input is refused.
func (d *decoder) count(size int) uint64 { return d.uvarint(uint64(len(d.b) / size)) }

func (d *decoder) bytes() []byte {
	n := d.uvarint(uint64(len(d.b)))
	if n > uint64(len(d.b)) { // uvarint counted its own bytes as well
		d.fail("truncated")
		return nil
	}
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}

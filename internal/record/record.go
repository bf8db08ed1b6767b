// Package record writes and reads the parts of binary records that stores and
// checkpoints keep: varints, strings behind their length, times. A record
// comes back from a disk, so nothing in it is believed.
package record

import (
	"encoding/binary"
	"fmt"
	"time"
)

// AppendBytes appends the length of s as a uvarint, and s.
func AppendBytes[S ~string | ~[]byte](b []byte, s S) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// AppendTime appends t as a varint of seconds and a uvarint of nanoseconds
// since the Unix epoch. Its location is lost.
func AppendTime(b []byte, t time.Time) []byte {
	return binary.AppendUvarint(binary.AppendVarint(b, t.Unix()), uint64(t.Nanosecond()))
}

// A Fault tells why a record cannot be read, and where.
type Fault struct {
	Offset int // of the byte where reading stopped
	Reason string
}

func (f *Fault) Error() string { return fmt.Sprintf("at byte %d: %s", f.Offset, f.Reason) }

// A Reader takes a record apart. The first fault stays: what is read after it
// is zero, so that a caller checks once, at the end, or before he trusts a
// value enough to act on it.
type Reader struct {
	rec   []byte
	at    int
	fault *Fault
}

// NewReader reads rec, which must not change meanwhile.
func NewReader(rec []byte) Reader { return Reader{rec: rec} }

// Fail notes a fault that the caller found in what was read.
func (r *Reader) Fail(reason string) {
	if r.fault == nil {
		r.fault = &Fault{Offset: r.at, Reason: reason}
	}
}

// Fault is the first fault, nil so far as there was none.
func (r *Reader) Fault() *Fault { return r.fault }

// End is the first fault; bytes that nobody read are one.
func (r *Reader) End() *Fault {
	if r.at < len(r.rec) {
		r.Fail("bytes after the end")
	}
	return r.fault
}

// Within is the fault of reading part, the last bytes that were read of r, as a
// fault of r: at the same byte, with what before its reason.
func (r *Reader) Within(what string, part []byte, f *Fault) {
	if r.fault == nil && f != nil {
		r.fault = &Fault{Offset: r.at - len(part) + f.Offset, Reason: what + ": " + f.Reason}
	}
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if r.fault != nil || r.at >= len(r.rec) {
		r.Fail("ends early")
		return 0
	}
	r.at++
	return r.rec[r.at-1]
}

// Uvarint reads a number written by [binary.AppendUvarint].
func (r *Reader) Uvarint() uint64 {
	if r.fault != nil {
		return 0
	}
	v, n := binary.Uvarint(r.rec[r.at:])
	if n <= 0 {
		r.Fail("bad unsigned varint")
		return 0
	}
	r.at += n
	return v
}

// Varint reads a number written by [binary.AppendVarint].
func (r *Reader) Varint() int64 {
	if r.fault != nil {
		return 0
	}
	v, n := binary.Varint(r.rec[r.at:])
	if n <= 0 {
		r.Fail("bad varint")
		return 0
	}
	r.at += n
	return v
}

// Uint64 reads eight bytes, the most significant first.
func (r *Reader) Uint64() uint64 {
	if r.fault != nil || len(r.rec)-r.at < 8 {
		r.Fail("ends early")
		return 0
	}
	r.at += 8
	return binary.BigEndian.Uint64(r.rec[r.at-8:])
}

// View reads what AppendBytes wrote, as a part of the record that it shares.
func (r *Reader) View() []byte {
	n := r.Uvarint()
	if r.fault != nil {
		return nil
	}
	if n > uint64(len(r.rec)-r.at) {
		r.Fail("string longer than the record")
		return nil
	}
	r.at += int(n)
	return r.rec[r.at-int(n) : r.at : r.at]
}

// Bytes is View as a copy, which is never nil.
func (r *Reader) Bytes() []byte { return append([]byte{}, r.View()...) }

// String is View as a string.
func (r *Reader) String() string { return string(r.View()) }

// Count reads how many elements of at least size bytes each follow. More than
// the rest of the record has room for is a fault, so that a claim allocates
// nothing.
func (r *Reader) Count(size int) int {
	n := r.Uvarint()
	if n > uint64((len(r.rec)-r.at)/size) {
		r.Fail("more elements than the record has room for")
		return 0
	}
	return int(n)
}

// Time reads what AppendTime wrote, in UTC.
func (r *Reader) Time() time.Time {
	sec, nsec := r.Varint(), r.Uvarint()
	if nsec >= uint64(time.Second) {
		r.Fail("nanoseconds of a second or more")
	}
	if r.fault != nil {
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec)).UTC()
}

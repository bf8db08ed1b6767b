package record

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

func sample() []byte {
	b := []byte{7}
	b = binary.AppendUvarint(b, 300)
	b = binary.AppendVarint(b, -5)
	b = binary.BigEndian.AppendUint64(b, 1<<63+1)
	b = AppendBytes(b, "text")
	b = AppendBytes(b, []byte{})
	b = binary.AppendUvarint(b, 2)
	b = AppendBytes(AppendBytes(b, "a"), "b")
	return AppendTime(b, time.Unix(-1, 5))
}

func TestReader(t *testing.T) {
	r := NewReader(sample())
	if v := r.Byte(); v != 7 {
		t.Errorf("byte is %d", v)
	}
	if v := r.Uvarint(); v != 300 {
		t.Errorf("uvarint is %d", v)
	}
	if v := r.Varint(); v != -5 {
		t.Errorf("varint is %d", v)
	}
	if v := r.Uint64(); v != 1<<63+1 {
		t.Errorf("uint64 is %d", v)
	}
	if v := r.View(); string(v) != "text" || cap(v) != 4 {
		t.Errorf("view is %q with room for %d", v, cap(v))
	}
	if v := r.Bytes(); v == nil || len(v) > 0 {
		t.Errorf("bytes are %#v", v)
	}
	if n, a, b := r.Count(1), r.String(), r.String(); n != 2 || a != "a" || b != "b" {
		t.Errorf("%d elements, %q and %q", n, a, b)
	}
	if v := r.Time(); !v.Equal(time.Unix(-1, 5)) || v.Location() != time.UTC {
		t.Errorf("time is %v", v)
	}
	if f := r.End(); f != nil {
		t.Error(f)
	}
}

// TestFaults cuts the record at each byte and lies about its lengths.
func TestFaults(t *testing.T) {
	read := func(b []byte) *Fault {
		r := NewReader(b)
		r.Byte()
		r.Uvarint()
		r.Varint()
		r.Uint64()
		r.View()
		r.Bytes()
		for range r.Count(1) {
			_ = r.String()
		}
		r.Time()
		return r.End()
	}
	whole := sample()
	for n := range whole {
		f := read(whole[:n])
		if f == nil || f.Offset > n || f.Reason == "" {
			t.Errorf("%d of %d bytes: %v", n, len(whole), f)
		}
	}
	if f := read(append(whole, 0)); f == nil || f.Error() != "at byte 25: bytes after the end" {
		t.Errorf("a byte more: %v", f)
	}
	for name, b := range map[string][]byte{
		"string longer than the record":              append(bytes.Clone(whole[:12]), 0xFF, 0xFF, 0xFF, 0xFF, 0x0F),
		"bad unsigned varint":                        {7, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1},
		"more elements than the record has room for": append(bytes.Clone(whole[:18]), 100),
		"nanoseconds of a second or more":            binary.AppendUvarint(bytes.Clone(whole[:len(whole)-1]), 1e9),
	} {
		if f := read(b); f == nil || f.Reason != name {
			t.Errorf("want %s: %v", name, f)
		}
	}
}

// TestFirstFaultStays: later reads are zero and say nothing else.
func TestFirstFaultStays(t *testing.T) {
	r := NewReader(AppendBytes(nil, "text"))
	r.Fail("mine")
	if r.Byte() != 0 || r.Uvarint() != 0 || r.Varint() != 0 || r.Uint64() != 0 || r.View() != nil || r.Count(1) != 0 || !r.Time().IsZero() {
		t.Error("something was read after a fault")
	}
	r.Fail("another")
	if f := r.End(); f != r.Fault() || f.Offset != 0 || f.Reason != "mine" {
		t.Error(f)
	}
}

// TestWithin tells where in the whole record a part of it is at fault.
func TestWithin(t *testing.T) {
	r := NewReader(append(AppendBytes([]byte{1}, "part"), 9))
	r.Byte()
	part := r.View()
	inner := NewReader(part)
	inner.Byte()
	r.Within("part", part, inner.End())
	if f := r.End(); f == nil || f.Error() != "at byte 3: part: bytes after the end" {
		t.Error(f)
	}
}

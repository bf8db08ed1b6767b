package actions

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"
)

func storedRequests() []Request {
	return []Request{
		{Time: time.Unix(0, 0).UTC()},
		{ID: "1", Rule: "r", Topic: "a/b", ClientID: "c", Principal: "p", SourceIP: "::1", TraceID: "t",
			Time: time.Unix(-5, 999_999_999).UTC(), Payload: []byte(`{}`), Source: []byte{0, 1}},
		{Time: time.Unix(1, 0).UTC(), Payload: []byte("same"), Source: []byte("same")},
		{Time: time.Unix(1, 0).UTC(), Payload: []byte{}, Source: []byte{}},
		{Time: time.Unix(1, 0).UTC(), Payload: []byte("x"), Vars: []Var{{Name: "u"}, {Name: "v", Value: json.RawMessage(`1`)}}},
		{Time: time.Unix(1, 0).UTC(), Properties: &Properties{}},
		{Time: time.Unix(1, 0).UTC(), Properties: &Properties{UTF8: true, ContentType: "t", ResponseTopic: "r",
			CorrelationData: []byte{0}, User: []UserProperty{{"a", "1"}, {"a", "2"}}}},
		{Time: time.Unix(1, 0).UTC(), Payload: []byte("x"), Hops: 3},
		{Time: time.Unix(1, 0).UTC(), Payload: []byte("same"), Source: []byte("same"), Hops: 300},
		{}, // the zero Time
	}
}

func TestCodecRoundTrip(t *testing.T) {
	for i, want := range storedRequests() {
		text, err := want.AppendBinary([]byte("before"))
		if err != nil || !bytes.HasPrefix(text, []byte("before")) {
			t.Fatal(i, err)
		}
		text = text[len("before"):]
		var got Request
		if err := got.UnmarshalBinary(text); err != nil {
			t.Errorf("%d: %v", i, err)
			continue
		}
		for n := range text { // it shares no memory with its input
			text[n] = 0xee
		}
		if !got.Time.Equal(want.Time) {
			t.Errorf("%d: time %v, want %v", i, got.Time, want.Time)
		}
		got.Time, want.Time = time.Time{}, time.Time{}
		if p := want.Properties; p != nil && p.CorrelationData == nil {
			got.Properties.CorrelationData = nil // absent and empty are one in MQTT properties here
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%d: got %+v, want %+v", i, got, want)
		}
	}
}

// TestCodecOld: what programs stored that knew no hops is read, and what has
// none is stored as they did.
func TestCodecOld(t *testing.T) {
	old := []byte("\x01\x10\x02\x00" + "\x011" + "\x01r" + "\x03a/b" + "\x00\x00\x00\x00" + "\x00" + "\x00" + "\x02{}")
	want := Request{ID: "1", Rule: "r", Topic: "a/b", Time: time.Unix(1, 0).UTC(), Payload: []byte("{}")}
	var got Request
	if err := got.UnmarshalBinary(old); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, hops := range []int{0, -1} {
		want.Hops = hops
		if text, _ := want.AppendBinary(nil); !bytes.Equal(text, old) {
			t.Errorf("hops %d: %q, want %q", hops, text, old)
		}
	}
}

func TestCodecSharesEqualPayload(t *testing.T) {
	r := Request{Payload: make([]byte, 1000), Source: make([]byte, 1000)}
	if text, _ := r.AppendBinary(nil); len(text) > 1100 {
		t.Errorf("%d bytes for one payload of 1000", len(text))
	}
}

func TestCodecRefuses(t *testing.T) {
	r := storedRequests()[1]
	whole, _ := r.AppendBinary(nil)
	for n := range whole {
		if err := new(Request).UnmarshalBinary(whole[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("the first %d of %d bytes: %v", n, len(whole), err)
		}
	}
	for name, text := range map[string][]byte{
		"left over":   append(bytes.Clone(whole), 0),
		"version":     append([]byte{2}, whole[1:]...),
		"flags":       append([]byte{1, 0x80}, whole[2:]...),
		"huge length": {1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"huge count":  {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f},
	} {
		kept := Request{ID: "kept"}
		if err := kept.UnmarshalBinary(text); !errors.Is(err, ErrCorrupt) || kept.ID != "kept" {
			t.Errorf("%s: %v, %+v", name, err, kept)
		}
	}
}

// What decodes, encodes again to something that decodes to the same.
func FuzzCodec(f *testing.F) {
	for _, r := range storedRequests() {
		text, _ := r.AppendBinary(nil)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var a, b Request
		if err := a.UnmarshalBinary(text); err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("not ErrCorrupt: %v", err)
			}
			return
		}
		again, _ := a.AppendBinary(nil)
		if err := b.UnmarshalBinary(again); err != nil {
			t.Fatalf("%+v does not decode again: %v", a, err)
		}
		if !a.Time.Equal(b.Time) {
			t.Fatalf("time %v, then %v", a.Time, b.Time)
		}
		a.Time, b.Time = time.Time{}, time.Time{}
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("%+v, then %+v", a, b)
		}
	})
}

package brokerpebble

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/broker"
)

func samples() (ms []broker.Message, ss []broker.Session) {
	one := byte(1)
	full := broker.Message{
		Topic: "a/b", ClientID: "c", Principal: "p", Payload: []byte("\x00payload"), QoS: 2, Retain: true,
		Time: time.Unix(1770091446, 789).UTC(),
		Properties: broker.Properties{
			PayloadFormat: &one, Expiry: time.Hour, ContentType: "text/plain", ResponseTopic: "r", CorrelationData: []byte{0},
			User: []broker.UserProperty{{Name: "k", Value: "v"}, {Name: "k", Value: "w"}},
		},
	}
	ms = []broker.Message{{Payload: []byte{}}, full, {Topic: strings.Repeat("x", math.MaxUint16), Payload: []byte("y"), Time: time.Unix(-1, 0).UTC()}}
	ss = []broker.Session{{}, {
		ClientID: "c", Principal: "p", Version: 5, Expiry: time.Hour, Disconnected: full.Time,
		Subscriptions: []broker.Subscription{
			{Filter: "#", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2, Identifier: math.MaxUint32}, {Filter: "a"},
		},
		Will: &broker.PendingWill{Message: full, Due: full.Time},
	}, {
		ClientID: "c", Version: 4, Will: &broker.PendingWill{Message: full, Due: full.Time, Delay: time.Second, Thing: "t", OwnAuthorizer: true},
	}}
	ss[2].Will.Message.SourceIP = "192.0.2.1"
	return ms, ss
}

func TestCodec(t *testing.T) {
	ms, ss := samples()
	for _, m := range ms {
		got, err := decodeMessage(nil, appendMessage(nil, &m))
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("message\n got %+v, %v\nwant %+v", got, err, m)
		}
	}
	for _, s := range ss {
		got, err := decodeSession(nil, appendSession(nil, &s))
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("session\n got %+v, %v\nwant %+v", got, err, s)
		}
	}
}

// TestCutRecords cuts and lengthens records: no part of one is another.
func TestCutRecords(t *testing.T) {
	ms, ss := samples()
	m, s := appendMessage(nil, &ms[1]), appendSession(nil, &ss[1])
	var corrupt *CorruptError
	for n := range len(m) {
		if _, err := decodeMessage([]byte("key"), m[:n]); !errors.As(err, &corrupt) || string(corrupt.Key) != "key" || corrupt.Offset > n {
			t.Errorf("the first %d bytes of a message give %v", n, err)
		}
	}
	for n := range len(s) {
		if _, err := decodeSession(nil, s[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("the first %d bytes of a session give %v", n, err)
		}
	}
	if _, err := decodeMessage(nil, append(m, 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a message with a byte more gives %v", err)
	}
}

// FuzzDecode looks for panics, and for records that are read as something that
// is not written so again.
func FuzzDecode(f *testing.F) {
	ms, ss := samples()
	for i := range ms[:2] { // small ones: long inputs are slow to make smaller
		f.Add(appendMessage(nil, &ms[i]))
	}
	for i := range ss {
		f.Add(appendSession(nil, &ss[i]))
	}
	f.Fuzz(func(t *testing.T, rec []byte) {
		if m, err := decodeMessage(nil, rec); err == nil {
			if err := checkMessage(&m); err != nil && !errors.Is(err, ErrTooLong) {
				t.Fatalf("read as a message that cannot be written: %v", err)
			}
			again, err := decodeMessage(nil, appendMessage(nil, &m))
			if err != nil || !reflect.DeepEqual(again, m) {
				t.Fatalf("message\n got %+v, %v\nwant %+v", again, err, m)
			}
		} else if !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		if s, err := decodeSession(nil, rec); err == nil {
			again, err := decodeSession(nil, appendSession(nil, &s))
			if err != nil || !reflect.DeepEqual(again, s) {
				t.Fatalf("session\n got %+v, %v\nwant %+v", again, err, s)
			}
		} else if !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	})
}

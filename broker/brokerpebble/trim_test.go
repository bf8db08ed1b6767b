package brokerpebble_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerpebble"
)

// count is how many keys begin with prefix.
func count(t *testing.T, db *pebble.DB, prefix string) (n int) {
	t.Helper()
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte(prefix), UpperBound: []byte(prefix + "\xff")})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	return n
}

// TestStoredOnce looks below: a message for many is in the log, one for one in its queue.
func TestStoredOnce(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	s := open(t, db, "b/", nil)
	var all []string
	for i := range 100 {
		all = append(all, fmt.Sprint("client", i))
	}
	if _, err := s.Enqueue(t.Context(), []broker.Entry{entry("many", all...), entry("one", "client0"), entry("none")}); err != nil {
		t.Fatal(err)
	}
	if l, q := count(t, db, "b/l"), count(t, db, "b/q"); l != 1 || q != 101 {
		t.Errorf("%d messages in the log and %d in queues, want 1 and 101", l, q)
	}
}

// TestFanOutIsStoredOnce publishes to a thousand persistent sessions, which have subscribed in all ways that there are, and
// looks at every byte below: the payload is there once, and each session costs a reference.
func TestFanOutIsStoredOnce(t *testing.T) {
	const sessions = 1000
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	s := open(t, db, "b/", nil)
	for i := range sessions {
		if err := s.SaveSession(t.Context(), broker.Session{ClientID: fmt.Sprint("client", i), Version: 5, Expiry: time.Hour, Disconnected: time.Now(),
			Subscriptions: []broker.Subscription{{Filter: "#", QoS: byte(1 + i%2), RetainAsPublished: i%3 == 0}}}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := broker.New(s, &broker.Options{Authorizer: broker.AllowAll{}})
	if err != nil {
		t.Fatal(err)
	}
	payload := bytes.Repeat([]byte("0123456789"), 1000)
	before := db.Metrics().WAL.BytesIn
	for _, m := range []broker.Message{{Topic: "t", QoS: 2, Payload: payload}, {Topic: "t/retained", QoS: 2, Payload: payload, Retain: true}} {
		if err := b.PublishMessage(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	times, references := map[byte]int{}, 0
	for ok := it.First(); ok; ok = it.Next() {
		kind := it.Key()[len("b/")]
		times[kind] += bytes.Count(it.Value(), payload)
		if kind == 'q' {
			references += len(it.Value())
		}
	}
	if times['l'] != 2 || times['q'] != 0 || times['r'] != 1 || references > 2*sessions {
		t.Errorf("the payload is in the log %d times, in queues %d, retained %d; the queues have %d bytes", times['l'], times['q'], times['r'], references)
	}
	if n := db.Metrics().WAL.BytesIn - before; n > uint64(3*len(payload)+2*sessions*60) {
		t.Errorf("%d bytes were logged", n)
	}
	for i := range sessions {
		n := 0
		for q, err := range s.Queue(t.Context(), fmt.Sprint("client", i), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if m := q.Message; m.QoS != byte(1+i%2) || m.Retain != (n == 1 && i%3 == 0) || !bytes.Equal(m.Payload, payload) {
				t.Errorf("client %d, message %d: QoS %d, retain %v, %d bytes", i, n, m.QoS, m.Retain, len(m.Payload))
			}
			n++
		}
		if n != 2 {
			t.Errorf("client %d has %d messages", i, n)
		}
	}
}

// TestTrim lets some sessions follow and one stay behind: the log keeps what
// the last one has not got, and loses it when that one is gone.
func TestTrim(t *testing.T) {
	for _, reopen := range []bool{false, true} {
		t.Run(fmt.Sprint("reopen=", reopen), func(t *testing.T) {
			db := openDB(t, vfs.NewMem())
			defer db.Close()
			opts := &brokerpebble.Options{TrimEvery: 10, DequeueEvery: 5}
			s := open(t, db, "b/", opts)
			enqueue := func(n int, clients ...string) {
				for i := range n {
					first, err := s.Enqueue(t.Context(), []broker.Entry{entry(fmt.Sprint(i), clients...)})
					if err != nil {
						t.Fatal(err)
					}
					if err := s.Dequeue(t.Context(), "a", first); err != nil {
						t.Fatal(err)
					}
					if err := s.Dequeue(t.Context(), "b", first); err != nil {
						t.Fatal(err)
					}
				}
			}
			enqueue(1000, "a", "b")
			if l, q := count(t, db, "b/l"), count(t, db, "b/q"); l > 10 || q > 10 {
				t.Errorf("with all following, %d messages in the log and %d in queues are kept", l, q)
			}
			enqueue(20, "a", "b", "slow")
			enqueue(500, "a", "b")
			if l := count(t, db, "b/l"); l < 520 || l > 530 {
				t.Errorf("with one that stays behind %d messages are in the log, want 520 and a few", l)
			}
			if reopen {
				s = open(t, db, "b/", opts)
			}
			if texts, _ := queueOf(t, s, "slow"); len(texts) != 20 {
				t.Errorf("the slow queue has %d messages, want 20", len(texts))
			}
			// Messages for it alone do not hold the log.
			_, last := queueOf(t, s, "slow")
			enqueue(300, "slow")
			if err := s.Dequeue(t.Context(), "slow", last); err != nil {
				t.Fatal(err)
			}
			enqueue(50, "a", "b")
			if l := count(t, db, "b/l"); l > 10 {
				t.Errorf("with its own messages alone, %d messages are in the log", l)
			}
			if texts, _ := queueOf(t, s, "slow"); len(texts) != 300 {
				t.Errorf("the slow queue has %d messages, want 300", len(texts))
			}
			enqueue(10, "a", "slow")
			enqueue(100, "a", "b")
			if err := s.DeleteSession(t.Context(), "slow"); err != nil {
				t.Fatal(err)
			}
			enqueue(20, "a", "b")
			if l := count(t, db, "b/l"); l > 10 {
				t.Errorf("with the slow session gone, %d messages are in the log", l)
			}
			if st := s.Stats(); st.Trims == 0 || st.LowestKept == 0 || st.NextSeq <= st.LowestKept {
				t.Errorf("stats are %+v", st)
			}
		})
	}
}

func TestCorruptRecords(t *testing.T) {
	fs := vfs.NewMem()
	db := openDB(t, fs)
	defer db.Close()
	s := open(t, db, "b/", nil)
	if _, err := s.Enqueue(t.Context(), []broker.Entry{entry("1", "c"), entry("2", "c"), entry("3", "c", "d"), entry("4", "c")}); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"x", "y"} {
		if err := s.SetRetained(t.Context(), broker.Message{Topic: topic, Payload: []byte("p")}); err != nil {
			t.Fatal(err)
		}
		if err := s.SaveSession(t.Context(), broker.Session{ClientID: topic}); err != nil {
			t.Fatal(err)
		}
	}
	set := func(key, value string) {
		if err := db.Set([]byte(key), []byte(value), pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	set("b/q\x00\x00\x00\x01c\x00\x00\x00\x00\x00\x00\x00\x02", "\x09bad")
	if err := db.Delete([]byte("b/l\x00\x00\x00\x00\x00\x00\x00\x03"), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	set("b/rx", "\x01\x03")
	set("b/sx", "")

	// The bad ones are told and passed over; the others are there.
	var got []string
	for q, err := range s.Queue(t.Context(), "c", 0) {
		var corrupt *brokerpebble.CorruptError
		switch {
		case err == nil:
			got = append(got, fmt.Sprint(q.Seq, string(q.Message.Payload)))
		case errors.As(err, &corrupt) && errors.Is(err, brokerpebble.ErrCorrupt):
			got = append(got, fmt.Sprint(q.Seq, "corrupt"))
		default:
			t.Fatal(err)
		}
	}
	if want := "[11 2corrupt 3corrupt 44]"; fmt.Sprint(got) != want {
		t.Errorf("queue %q, want %s", got, want)
	}
	kinds := func(n *[2]int, err error) {
		if errors.Is(err, brokerpebble.ErrCorrupt) {
			n[1]++
		} else if err == nil {
			n[0]++
		} else {
			t.Error(err)
		}
	}
	var retained, exact, sessions [2]int
	for _, err := range s.Retained(t.Context(), "#") {
		kinds(&retained, err)
	}
	for _, err := range s.Retained(t.Context(), "x") {
		kinds(&exact, err)
	}
	for _, err := range s.Sessions(t.Context()) {
		kinds(&sessions, err)
	}
	if retained != [2]int{1, 1} || exact != [2]int{0, 1} || sessions != [2]int{1, 1} {
		t.Errorf("good and corrupt: retained %d, exact %d, sessions %d", retained, exact, sessions)
	}
	if n := s.Stats().CorruptRead; n != 5 {
		t.Errorf("CorruptRead is %d, want 5", n)
	}
	set("b/\x00v", "\x02")
	if _, err := brokerpebble.Open(t.Context(), db, "b/", nil); !errors.Is(err, brokerpebble.ErrFormat) {
		t.Errorf("Open of a foreign format gives %v, want ErrFormat", err)
	}
	set("b/\x00v", "\x01")
	set("b/\x00n", "short")
	if _, err := brokerpebble.Open(t.Context(), db, "b/", nil); !errors.Is(err, brokerpebble.ErrCorrupt) {
		t.Errorf("Open with a bad number gives %v, want ErrCorrupt", err)
	}
}

func TestRefused(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	s := open(t, db, "b/", nil)
	long := string(make([]byte, 65536))
	for name, err := range map[string]error{
		"QoS": func() error {
			_, err := s.Enqueue(t.Context(), []broker.Entry{entry("ok", "c"), {Message: broker.Message{QoS: 3}}})
			return err
		}(),
		"expiry":   s.SetRetained(t.Context(), broker.Message{Topic: "t", Payload: []byte("x"), Properties: broker.Properties{Expiry: -1}}),
		"topic":    s.SetRetained(t.Context(), broker.Message{Topic: long, Payload: []byte("x")}),
		"client":   s.SaveSession(t.Context(), broker.Session{ClientID: long}),
		"handling": s.SaveSession(t.Context(), broker.Session{ClientID: "c", Subscriptions: []broker.Subscription{{RetainHandling: 3}}}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if texts, _ := queueOf(t, s, "c"); len(texts) > 0 {
		t.Errorf("a refused batch left %q", texts)
	}
	if _, err := brokerpebble.Open(t.Context(), nil, "", nil); err == nil {
		t.Error("Open without a database gives no error")
	}
	if _, err := brokerpebble.Open(t.Context(), db, "", &brokerpebble.Options{TrimEvery: -1}); err == nil {
		t.Error("Open with a negative option gives no error")
	}
}

// TestPrefixes keeps two stores in one database apart, one prefix being the
// beginning of the other.
func TestPrefixes(t *testing.T) {
	db := openDB(t, vfs.NewMem())
	defer db.Close()
	one, two := open(t, db, "b", nil), open(t, db, "bq", nil)
	for name, s := range map[string]*brokerpebble.Store{"one": one, "two": two} {
		if _, err := s.Enqueue(t.Context(), []broker.Entry{entry(name, "c")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := two.DeleteSession(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if texts, _ := queueOf(t, one, "c"); fmt.Sprint(texts) != "[one]" {
		t.Errorf("the first store has %q", texts)
	}
}

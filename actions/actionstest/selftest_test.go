package actionstest

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/actions"
)

// A sink is a right plugin, with places to break it.
type sink struct {
	mu        sync.Mutex
	delivered int
	open      int

	summary  string
	params   any
	openWith func(p *sinkParams, raw json.RawMessage) error
	do       func(ctx context.Context, r *actions.Request) (deliver int, err error)
	onClose  func() error
}

type sinkParams struct {
	To string `json:"to" required:"true" doc:"where to"`
}

type sinkAction struct{ *sink }

func (a sinkAction) Do(ctx context.Context, r *actions.Request) error {
	n, err := 1, error(nil)
	if a.do != nil {
		n, err = a.do(ctx, r)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.delivered += n
	return err
}

func (a sinkAction) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open--
	if a.onClose != nil {
		return a.onClose()
	}
	return nil
}

func (s *sink) plugin() Plugin {
	spec := actions.Spec{Name: "sink", Summary: s.summary, Params: s.params, Open: func(_ context.Context, raw json.RawMessage) (actions.Action, error) {
		var p sinkParams
		decode := func(p *sinkParams, raw json.RawMessage) error { return actions.Decode(raw, p) }
		if s.openWith != nil {
			decode = s.openWith
		}
		if err := decode(&p, raw); err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open++
		return sinkAction{s}, nil
	}}
	return Plugin{Spec: spec, Params: json.RawMessage(`{"to":"x"}`), Invalid: []json.RawMessage{json.RawMessage(`{"to":1}`)},
		Delivered: func() int { s.mu.Lock(); defer s.mu.Unlock(); return s.delivered }}
}

func right() *sink { return &sink{summary: "count", params: sinkParams{}} }

func TestRightPlugin(t *testing.T) {
	TestAction(t, func(*testing.T) Plugin { return right().plugin() })
}

// For each case a plugin that is broken in just that way has to fail it.
func TestBrokenPlugins(t *testing.T) {
	var keep *actions.Request
	for name, breakIt := range map[string]func(s *sink){
		"catalog": func(s *sink) { s.summary = "" },
		"documented": func(s *sink) {
			s.params = struct {
				X int `json:"x"`
			}{}
		},
		"opens": func(s *sink) {
			n := 0
			s.openWith = func(*sinkParams, json.RawMessage) error {
				if n++; n > 1 {
					return errors.New("in use")
				}
				return nil
			}
		},
		"strict": func(s *sink) {
			s.openWith = func(p *sinkParams, raw json.RawMessage) error { return json.Unmarshal(raw, p) }
		},
		"refuses": func(s *sink) {
			s.openWith = func(p *sinkParams, raw json.RawMessage) error { _ = json.Unmarshal(raw, p); return nil }
		},
		"delivers": func(s *sink) {
			s.do = func(context.Context, *actions.Request) (int, error) { return 2, nil }
		},
		"concurrent": func(s *sink) {
			var busy sync.Mutex
			s.do = func(context.Context, *actions.Request) (int, error) {
				if !busy.TryLock() {
					return 0, errors.New("one at a time")
				}
				defer busy.Unlock()
				for start := time.Now(); time.Since(start) < time.Millisecond; {
				}
				return 1, nil
			}
		},
		"reads only": func(s *sink) {
			s.do = func(_ context.Context, r *actions.Request) (int, error) { r.Payload[0] = '['; return 1, nil }
		},
		"keeps nothing": func(s *sink) {
			s.do = func(_ context.Context, r *actions.Request) (int, error) {
				if keep == r {
					return 1, errors.New("the same request again")
				}
				keep = r
				return 1, nil
			}
		},
		"empty": func(s *sink) {
			s.do = func(_ context.Context, r *actions.Request) (int, error) { return int(r.Payload[0]), nil }
		},
		"independent": func(s *sink) {
			closed := false
			s.onClose = func() error { closed = true; return nil }
			s.do = func(context.Context, *actions.Request) (int, error) {
				if closed {
					return 0, errors.New("connection closed")
				}
				return 1, nil
			}
		},
	} {
		s := right()
		breakIt(s)
		if err := actionCase(t, name).Run(t.Context(), s.plugin()); err == nil {
			t.Errorf("%s: a plugin broken in that way passes", name)
		}
	}
}

func actionCase(t *testing.T, name string) ActionCase {
	for _, c := range ActionCases() {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no case %q", name)
	return ActionCase{}
}

// A shelf keeps what its queues have not acknowledged, which is all that
// durable means to the suite, with places to break it.
type shelf struct {
	mu   sync.Mutex
	kept map[string][]actions.Entry
	ids  map[string]actions.Identity
	live map[uint64]*actions.Request // for a Push that does not copy

	broken string
}

func newShelf(broken string) *shelf {
	return &shelf{kept: map[string][]actions.Entry{}, ids: map[string]actions.Identity{}, live: map[uint64]*actions.Request{}, broken: broken}
}

func (s *shelf) backend() Backend {
	return Backend{Queues: s, Reopen: func() (actions.Queues, error) { return s, nil }}
}

func (s *shelf) Stored(context.Context) iter.Seq2[actions.Identity, error] {
	return func(yield func(actions.Identity, error) bool) {
		s.mu.Lock()
		ids := maps.Clone(s.ids)
		maps.DeleteFunc(ids, func(id string, _ actions.Identity) bool { return len(s.kept[id]) == 0 && s.broken != "stored" })
		s.mu.Unlock()
		for _, identity := range ids {
			if !yield(identity, nil) {
				return
			}
		}
	}
}

func (s *shelf) OpenQueue(ctx context.Context, id actions.Identity, l actions.Limits) (actions.Queue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := id.ID()
	if s.broken == "separate" {
		key = "all"
	}
	s.ids[key] = id
	q := &shelfQueue{shelf: s, key: key, limits: l, closed: make(chan struct{}), wake: make(chan struct{}, 1)}
	if s.broken == "reopen" {
		s.kept[key] = nil
	}
	for i := range s.kept[key] {
		s.kept[key][i].Lost, s.kept[key][i].Request.Done = true, nil
		q.seq = max(q.seq, s.kept[key][i].Seq)
	}
	if s.broken == "goes on" {
		q.seq = 0
	}
	q.next = 0
	return q, nil
}

type shelfQueue struct {
	*shelf
	key    string
	limits actions.Limits
	seq    uint64
	next   int // index in kept of the next to pop
	closed chan struct{}
	once   sync.Once
	wake   chan struct{}
	popped bool
}

func (q *shelfQueue) isClosed() bool {
	select {
	case <-q.closed:
		return true
	default:
		return false
	}
}

func (q *shelfQueue) Push(ctx context.Context, r *actions.Request) error {
	if err := ctx.Err(); err != nil && q.broken != "push cancelled" {
		return err
	}
	if q.isClosed() {
		return actions.ErrClosed
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := q.size()
	max, maxBytes := q.limits.MaxCount, q.limits.MaxBytes
	if q.broken == "unlimited" && max < 0 {
		max = 1
	}
	if max > 0 && n >= max && q.broken != "count" || maxBytes > 0 && size+r.Size() > maxBytes && q.broken != "bytes" {
		return actions.ErrQueueFull
	}
	q.seq++
	e := actions.Entry{Seq: q.seq, Request: *r}
	switch q.broken {
	case "round trip":
		e.Request.Vars = nil
	case "copy":
		q.live[q.seq] = r
	case "order":
		q.kept[q.key] = slices.Insert(q.kept[q.key], min(q.next, len(q.kept[q.key])), e)
		q.signal()
		return nil
	}
	q.kept[q.key] = append(q.kept[q.key], e)
	q.signal()
	return nil
}

func (q *shelfQueue) signal() {
	if q.broken == "waits" {
		return
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *shelfQueue) Pop(ctx context.Context, into []actions.Entry) (int, error) {
	for {
		if q.isClosed() && q.broken != "close" {
			return 0, actions.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			if q.broken == "pop cancelled" {
				return 0, nil
			}
			return 0, err
		}
		q.mu.Lock()
		all := q.kept[q.key]
		n := copy(into, all[min(q.next, len(all)):])
		if n > 0 && q.broken == "once" && !q.popped {
			q.popped = true
			n = 1 // given, and left where it is
		} else {
			q.next += n
		}
		for i := range into[:n] {
			if live := q.live[into[i].Seq]; live != nil {
				into[i].Request = *live
			}
			if q.limits.MaxAge > 0 && q.broken != "age" {
				into[i].Err = actions.ErrExpired
			}
		}
		more := q.next < len(q.kept[q.key])
		q.mu.Unlock()
		if more {
			q.signal()
		}
		if n > 0 {
			return n, nil
		}
		if q.broken == "waits" {
			return 0, errors.New("nothing there")
		}
		select {
		case <-ctx.Done():
		case <-q.closed:
			if q.broken == "close" {
				<-ctx.Done()
			}
		case <-q.wake:
		}
	}
}

func (q *shelfQueue) Ack(entries []actions.Entry) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.broken == "settled stays" || q.broken == "once" && len(entries) == 1 && entries[0].Seq == 1 {
		return nil
	}
	for i := range entries {
		n := slices.IndexFunc(q.kept[q.key], func(e actions.Entry) bool { return e.Seq == entries[i].Seq })
		if q.broken == "any order" {
			n = 0
		}
		if n < 0 {
			continue
		}
		q.kept[q.key] = slices.Delete(q.kept[q.key], n, n+1)
		if n < q.next {
			q.next--
		}
		if q.broken == "any order" {
			q.kept[q.key] = nil
		}
	}
	return nil
}

func (q *shelfQueue) size() (n int, size int64) {
	for i := range q.kept[q.key] {
		n, size = n+1, size+q.kept[q.key][i].Request.Size()
	}
	return n, size
}

func (q *shelfQueue) Size() (int, int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size()
}

func (q *shelfQueue) Durable() bool { return q.broken != "durable" }

func (q *shelfQueue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

func TestRightQueues(t *testing.T) {
	TestQueues(t, func(*testing.T) Backend { return newShelf("").backend() })
}

// For each case queues that are broken in just that way have to fail it.
func TestBrokenQueues(t *testing.T) {
	for _, c := range QueueCases() {
		t.Run(strings.ReplaceAll(c.Name, " ", "-"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // some of them wait for what does not come
				if err := c.Run(t.Context(), newShelf(c.Name).backend()); err == nil {
					t.Errorf("queues broken in that way pass")
				}
			})
		})
	}
}

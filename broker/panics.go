package broker

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime/debug"
)

// ErrPanic is in the error that a panic became: of a function of the application, or of the
// broker itself.
var ErrPanic = errors.New("broker: panic")

// A function of the application may be called in the middle of anything, and on a goroutine whose end would be that of
// the process. So none is called but behind a recover: what returns an error returns one, a Hook that decides says no,
// and what only listens has heard enough. Hooks, Trace, Store and Logger are wrapped once, when the broker is made;
// Authenticator, Authorizer and the like, which may have more methods than their interface, where they are called.

// panicked counts and logs a panic, and makes an error of it. It is called from the deferred function.
func (b *Broker) panicked(where string, v any) error {
	b.count.panics.Add(1)
	b.opts.Logger.Error("panic", "in", where, "panic", v, "stack", string(debug.Stack()))
	return fmt.Errorf("%w in %s: %v", ErrPanic, where, v)
}

// caught is deferred where a panic ends what the function was about and nothing else.
func (b *Broker) caught(where string) {
	if v := recover(); v != nil {
		_ = b.panicked(where, v)
	}
}

// caughtAs is deferred where a panic is one more error.
func (b *Broker) caughtAs(err *error, where string) {
	if v := recover(); v != nil {
		*err = b.panicked(where, v)
	}
}

// guard wraps what opts has of the application's functions.
func (b *Broker) guard() {
	o := &b.opts
	o.Logger = slog.New(quietHandler{o.Logger.Handler(), b})

	h := *o.Hooks
	if f := h.OnConnect; f != nil {
		h.OnConnect = func(ctx context.Context, c ClientInfo) (err error) {
			defer b.caughtAs(&err, "OnConnect")
			return f(ctx, c)
		}
	}
	if f := h.OnSubscribe; f != nil {
		h.OnSubscribe = func(ctx context.Context, c ClientInfo, s *Subscription) (err error) {
			defer b.caughtAs(&err, "OnSubscribe")
			return f(ctx, c, s)
		}
	}
	if f := h.OnPublish; f != nil {
		h.OnPublish = func(ctx context.Context, m *Message) (err error) {
			defer b.caughtAs(&err, "OnPublish")
			return f(ctx, m)
		}
	}
	if f := h.OnDeliver; f != nil {
		h.OnDeliver = func(clientID string, m *Message) bool {
			defer b.caught("OnDeliver")
			return f(clientID, m)
		}
	}
	h.OnDrop = guard3(b, "OnDrop", h.OnDrop)
	h.OnClose = guard2(b, "OnClose", h.OnClose)
	o.Hooks = &h

	t := *o.Trace
	t.Connected = guard1(b, "Trace.Connected", t.Connected)
	t.Disconnected = guard2(b, "Trace.Disconnected", t.Disconnected)
	t.Refused = guard2(b, "Trace.Refused", t.Refused)
	t.Subscribed = guard2(b, "Trace.Subscribed", t.Subscribed)
	t.Unsubscribed = guard2(b, "Trace.Unsubscribed", t.Unsubscribed)
	t.Published = guard1(b, "Trace.Published", t.Published)
	t.Delivered = guard2(b, "Trace.Delivered", t.Delivered)
	t.Dropped = guard3(b, "Trace.Dropped", t.Dropped)
	o.Trace = &t

	b.store = &guardedStore{b, b.store}
}

func guard1[A any](b *Broker, where string, f func(A)) func(A) {
	if f == nil {
		return nil
	}
	return func(x A) {
		defer b.caught(where)
		f(x)
	}
}

func guard2[A, B any](b *Broker, where string, f func(A, B)) func(A, B) {
	if f == nil {
		return nil
	}
	return func(x A, y B) {
		defer b.caught(where)
		f(x, y)
	}
}

func guard3[A, B, C any](b *Broker, where string, f func(A, B, C)) func(A, B, C) {
	if f == nil {
		return nil
	}
	return func(x A, y B, z C) {
		defer b.caught(where)
		f(x, y, z)
	}
}

// A guardedStore makes errors of a Store's panics.
type guardedStore struct {
	b *Broker
	s Store
}

func (g *guardedStore) Sessions(ctx context.Context) iter.Seq2[Session, error] {
	return guardSeq(g.b, "Store.Sessions", func() iter.Seq2[Session, error] { return g.s.Sessions(ctx) })
}

func (g *guardedStore) SaveSession(ctx context.Context, s Session) (err error) {
	defer g.b.caughtAs(&err, "Store.SaveSession")
	return g.s.SaveSession(ctx, s)
}

func (g *guardedStore) DeleteSession(ctx context.Context, clientID string) (err error) {
	defer g.b.caughtAs(&err, "Store.DeleteSession")
	return g.s.DeleteSession(ctx, clientID)
}

func (g *guardedStore) Enqueue(ctx context.Context, batch []Entry, marks ...Mark) (first uint64, err error) {
	defer g.b.caughtAs(&err, "Store.Enqueue")
	return g.s.Enqueue(ctx, batch, marks...)
}

func (g *guardedStore) Dequeue(ctx context.Context, clientID string, upTo uint64) (err error) {
	defer g.b.caughtAs(&err, "Store.Dequeue")
	return g.s.Dequeue(ctx, clientID, upTo)
}

func (g *guardedStore) Queue(ctx context.Context, clientID string, after uint64) iter.Seq2[Queued, error] {
	return guardSeq(g.b, "Store.Queue", func() iter.Seq2[Queued, error] { return g.s.Queue(ctx, clientID, after) })
}

func (g *guardedStore) SetRetained(ctx context.Context, m Message) (err error) {
	defer g.b.caughtAs(&err, "Store.SetRetained")
	return g.s.SetRetained(ctx, m)
}

func (g *guardedStore) Retained(ctx context.Context, filter string) iter.Seq2[Message, error] {
	return guardSeq(g.b, "Store.Retained", func() iter.Seq2[Message, error] { return g.s.Retained(ctx, filter) })
}

// guardSeq makes the last error of a sequence of its panic. One of the loop that goes through the
// sequence is that loop's own.
func guardSeq[T any](b *Broker, where string, make func() iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		inLoop, left := false, false
		err := func() (err error) {
			defer func() {
				if inLoop {
					return // goes on as it is
				}
				if v := recover(); v != nil {
					err = b.panicked(where, v)
				}
			}()
			make()(func(x T, err error) bool {
				inLoop = true
				left = !yield(x, err)
				inLoop = false
				return !left
			})
			return nil
		}()
		if err != nil && !left {
			var none T
			yield(none, err)
		}
	}
}

// A quietHandler is a slog.Handler that does not panic. There is nobody to tell of it, but it is counted.
type quietHandler struct {
	slog.Handler
	b *Broker
}

func (h quietHandler) Handle(ctx context.Context, r slog.Record) error {
	defer h.count()
	return h.Handler.Handle(ctx, r)
}

func (h quietHandler) Enabled(ctx context.Context, l slog.Level) bool {
	defer h.count()
	return h.Handler.Enabled(ctx, l)
}

func (h quietHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return quietHandler{h.Handler.WithAttrs(a), h.b}
}

func (h quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{h.Handler.WithGroup(name), h.b}
}

func (h quietHandler) count() {
	if recover() != nil {
		h.b.count.panics.Add(1)
	}
}

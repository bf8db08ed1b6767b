package rules

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/thingloom/thingloom/internal/sql"
)

// A handling is one call of Handle.
type handling struct {
	e    *Engine
	ctx  context.Context
	m    *Message
	hops int

	// trace is what the launch is called if the message has no name, and made
	// up if it is empty.
	trace string

	w         *work
	launch    *launch // nil until a rule fires
	firstUsed bool
	open      int // flights that may not be used again
	left      int // rules that may fire yet, this one included

	aside *aside // what it belongs to, if it is one of those
}

// A work is what a call of Handle needs and leaves to the next.
type work struct {
	lookup
	ev      sql.Evaluation
	out     []byte
	chunk   []byte     // memory of outputs given away, with room for more
	answers []answer   // that rules may share
	where   [256]uint8 // in answers is that of a plan, by its number, from 1
	answer  answer     // that they do not
	spare   *flight    // or nil
	idle    *launch    // of an earlier message, or nil
}

// An answer is what the statement of a shape makes of the message, be it asked
// once or by each rule that has it.
type answer struct {
	plan *plan
	out  []byte
	vars []Variable
	yes  bool
	err  error
}

const (
	maxWorkBytes = 64 << 10 // of output; a larger buffer is left to the collector
	maxWorkHits  = 16 << 10

	// chunkBytes is what small outputs are allocated by together. Who keeps
	// one of them keeps that much, so it is little.
	chunkBytes = 512

	// mostChunkBytes is as much as the outputs of one message share, if many
	// rules fire.
	mostChunkBytes = 2 << 10
)

// begin takes a work and describes the message to it.
func (h *handling) begin() {
	h.w = h.e.works.Get().(*work)
	h.m.put(&h.w.ev.Input, h.e.account)
}

// end gives the work back without what it points to.
func (h *handling) end() {
	w := h.w
	w.scan.Reset()
	w.ev.Forget()
	clear(w.hits)
	for i := range w.answers {
		w.where[w.answers[i].plan.num%uint32(len(w.where))] = 0
	}
	clear(w.answers)
	w.answer = answer{}
	w.hits, w.answers = w.hits[:0], w.answers[:0]
	if h.launch != nil && h.open == 0 && h.m.TraceID != "" {
		h.launch.trace = ""
		w.idle = h.launch
	}
	if cap(w.out) <= maxWorkBytes && cap(w.hits) <= maxWorkHits {
		h.e.works.Put(w)
	}
}

// one offers the message to one rule.
func (h *handling) one(en *entry) error {
	en.fetch()
	en.ledger.matched.Add(1)
	if en.asks {
		if a := h.beside(en); a != nil {
			return h.e.held(h.await([]*aside{a}))
		}
		return nil
	}
	h.begin()
	defer h.end()
	return h.e.held(h.fire(en, &sql.RunOptions{Variables: en.vars}))
}

// many offers the message to the rules of several filters, or of one that many
// rules have. The payload is gone through once for all.
func (h *handling) many(ix *index, spots []spot) error {
	h.begin()
	defer h.end()
	w := h.w
	w.scan.Read(ix.paths, h.m.Payload)
	for _, s := range spots {
		switch g := s.group; {
		case g == nil:
			w.small(s.only)
		case g.tally == nil:
			for i := range g.members.few {
				w.small(g.members.few[i].en)
			}
		default:
			g.tally.n.Add(1)
			before := len(w.hits)
			w.bucket(g.members)
			for _, en := range w.hits[before:] {
				en.ledger.ran.Add(1)
			}
		}
	}
	if w.ev.Input.Time.IsZero() && len(w.hits) > 1 {
		w.ev.Input.Time = time.Now() // the same for all
	}
	var lost []error
	var asking []*aside
	for i := 0; i < len(w.hits); i++ {
		en := w.hits[i]
		h.left = len(w.hits) - i
		switch {
		case en.plain && h.left > 1:
			n, errs := h.volley(w.hits[i:])
			i += n - 1
			lost = append(lost, errs...)
		case en.asks:
			if a := h.beside(en); a != nil {
				asking = append(asking, a)
			}
		default:
			err := h.fire(en, &sql.RunOptions{Variables: en.vars, Scan: &w.scan, Slots: en.slots, Preds: len(en.preds) > 0})
			if err != nil {
				lost = append(lost, err)
			}
		}
	}
	if asking != nil {
		lost = append(lost, h.await(asking))
	}
	return h.e.held(errors.Join(lost...))
}

// small takes a rule of a small group if its conditions hold, and counts.
func (w *work) small(en *entry) {
	en.ledger.matched.Add(1)
	if en.holds(&w.scan, 0) {
		w.hits = append(w.hits, en)
	} else {
		en.ledger.filtered.Add(1)
	}
}

// fire evaluates one rule on the message and invokes its actions. The error is
// what Handle returns of it.
func (h *handling) fire(en *entry, opts *sql.RunOptions) error {
	a := h.ask(en, opts)
	if h.aside != nil && !h.e.proceeds(h.aside) {
		return nil
	}
	switch {
	case !a.yes:
		h.refuse(en, a)
		return nil
	case len(en.actions) == 0:
		en.ledger.delivered.Add(1)
		return nil
	}
	f := h.flight()
	f.start(h.launch, en, 1<<len(en.actions)-1)
	if a.vars != nil {
		f.extra().vars = a.vars
	}
	var firing Firing
	for i, action := range en.actions {
		f.describe(&firing, i, h.m, a.out, a.vars)
		err := invoke(&h.launch.ctx, action, &firing)
		switch {
		case err == nil && len(en.actions) == 1 && a.vars == nil && !en.settled && f.quick():
			h.spent(f)
			return nil
		case err == nil:
			f.report(firing.gen, i, h.m, nil)
		case !errors.Is(err, ErrPending):
			f.report(firing.gen, i, h.m, &failure{action: i, inline: true, err: err, resource: resource(err, action)})
		}
	}
	spent, err := f.land(h.m)
	if spent {
		h.spent(f)
	}
	return err
}

// refuse counts a message that the statement did not select.
func (h *handling) refuse(en *entry, a *answer) {
	switch {
	case a.err == nil:
		en.ledger.filtered.Add(1)
	case errors.Is(a.err, ErrPanic):
		h.e.lose(en, ReasonPanic, a.err)
	default:
		h.e.lose(en, ReasonStatement, a.err)
	}
}

// spent takes back a flight that nobody can be at work on.
func (h *handling) spent(f *flight) {
	h.open--
	if f != &h.launch.first {
		h.w.spare = f
	}
}

// flight is a new one of the launch of the message: its own for the first rule
// that fires, spare ones after it.
func (h *handling) flight() *flight {
	if h.launch == nil {
		h.start(0)
	}
	h.open++
	if !h.firstUsed {
		h.firstUsed = true
		return &h.launch.first
	}
	if f := h.w.spare; f != nil {
		h.w.spare = nil
		return f
	}
	return new(flight)
}

// start makes the launch, and returns its room for an output of n bytes or nil.
func (h *handling) start(n int) []byte {
	l, w := h.w.idle, h.w
	var room []byte
	if l.serves(h.ctx, h.hops+1, h.m.TraceID) {
		w.idle = nil
	} else {
		l, room = newLaunch(n)
		l.ctx, l.e = hopContext{h.ctx, h.hops + 1}, h.e
	}
	l.name(cmp.Or(h.m.TraceID, h.trace))
	h.launch = l
	return room
}

// ask is the answer of the statement of en, until the next is asked for. Rules
// of one shape get the same one, if it is the same each time, and the same
// output.
func (h *handling) ask(en *entry, opts *sql.RunOptions) *answer {
	w := h.w
	a := &w.answer
	share := en.steady && (h.left > 1 || len(w.answers) > 0)
	if share {
		at := &w.where[en.plan.num%uint32(len(w.where))]
		if *at > 0 && w.answers[*at-1].plan == en.plan {
			return &w.answers[*at-1]
		}
		if share = *at == 0 && len(w.answers) < maxAnswers; share {
			w.answers = append(w.answers, answer{})
			*at = uint8(len(w.answers))
			a = &w.answers[*at-1]
		}
	}
	*a = answer{plan: en.plan}
	keep := share || len(en.actions) > 0
	if opts.Scan != nil && keep {
		if out, ok := en.plan.copy.AppendTo(w.out[:0], opts.Scan); ok {
			w.out, a.yes, a.out = out, true, h.keep(out)
			return a
		}
	}
	h.eval(a, en, opts, keep)
	return a
}

// maxAnswers is how many are kept to be shared.
const maxAnswers = 64

// eval puts into a, which has none, the answer of the statement. A panic in one
// of its functions is an error. The output is only given if it is to be kept.
func (h *handling) eval(a *answer, en *entry, opts *sql.RunOptions, keep bool) {
	defer func() {
		if v := recover(); v != nil {
			a.yes, a.err = false, newPanicError(v)
		}
	}()
	w := h.w
	if w.out == nil {
		w.out = make([]byte, 0, 512)
	}
	opts.Buf = w.out[:0]
	ctx := h.ctx
	if en.st.Calls() { // what a function publishes has been passed on once more
		ctx = &hopContext{ctx, h.hops + 1}
	}
	var r sql.Result
	if err := w.ev.RunInto(ctx, &en.st, opts, &r); err != nil {
		a.err = evalError(err)
		return
	}
	if !r.Matched {
		return
	}
	a.yes = true
	if r.Variables != nil {
		a.vars = variables(r.Variables)
	}
	if r.Whole {
		a.out = r.Out
		return
	}
	if w.out = r.Out; keep {
		a.out = h.keep(r.Out)
	}
}

// keep copies an output to where it may stay.
func (h *handling) keep(out []byte) []byte {
	if h.launch == nil {
		if room := h.start(len(out)); room != nil {
			room = append(room, out...)
			return room[:len(out):len(out)]
		}
	}
	w := h.w
	if len(out) > cap(w.chunk)-len(w.chunk) {
		n := min(len(out)*max(1, h.left), mostChunkBytes)
		if len(out) <= chunkBytes/4 {
			n = max(n, chunkBytes)
		}
		if n <= len(out) {
			return append(make([]byte, 0, len(out)), out...)
		}
		w.chunk = make([]byte, 0, n)
	}
	start := len(w.chunk)
	w.chunk = append(w.chunk, out...)
	return w.chunk[start:len(w.chunk):len(w.chunk)]
}

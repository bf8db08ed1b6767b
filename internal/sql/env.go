package sql

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
)

// payloadState is what an env knows of its payload.
type payloadState uint8

const (
	unscanned payloadState = iota
	isObject
	isArray
	isEmpty
	isBytes // not JSON, or JSON that is a scalar
)

// An env is one evaluation of a program. It is used again for later ones.
type env struct {
	ctx context.Context
	p   *program
	in  *Input

	payload string // shares the memory of in.Payload, without space around JSON
	state   payloadState

	search          // slots is for the program's paths
	elems  []string // raw JSON of the current element of each query, by its number
	vars   []Value  // of the SET clause
	stack  []Value  // arguments of the calls under way, see push
	sc     arena
	bufs   [][]byte // free buffers
	now    int64    // what timestamp() returns
	clock  clock

	work  int   // spent of program.maxWork
	err   error // abandons the evaluation
	calls [numLimited]int8

	pushed bool // stack has been used
}

// push puts a value on the stack; whoever does takes it off again.
func (e *env) push(v Value) {
	e.stack, e.pushed = append(e.stack, v), true
}

// An Evaluation is memory for the evaluations of statements on one message,
// one after the other, and for those on later messages. The zero Evaluation is
// ready.
type Evaluation struct {
	Input Input // the message
	env   env
}

var evaluations = sync.Pool{New: func() any { return new(Evaluation) }}

// Borrow takes an Evaluation from those that are free.
func Borrow() *Evaluation { return evaluations.Get().(*Evaluation) }

// Free gives back what Borrow took.
func (ev *Evaluation) Free() {
	ev.Forget()
	evaluations.Put(ev)
}

// Forget lets go of the message.
func (ev *Evaluation) Forget() {
	user := ev.Input.Properties.User
	clear(user)
	ev.Input = Input{}
	ev.Input.Properties.User = user[:0]
}

// begin is an evaluation on a copy of in, so that the caller's need not be on
// the heap; end ends it.
func (p *program) begin(ctx context.Context, in *Input) *Evaluation {
	ev := Borrow()
	user := append(ev.Input.Properties.User, in.Properties.User...)
	ev.Input = *in
	ev.Input.Properties.User = user // Forget clears it
	ev.begin(ctx, p)
	return ev
}

func (ev *Evaluation) end() {
	ev.env.reset()
	ev.Free()
}

func (ev *Evaluation) begin(ctx context.Context, p *program) {
	e := &ev.env
	e.ctx, e.p, e.in = ctx, p, &ev.Input
	e.payload = view(ev.Input.Payload)
	if cap(e.slots) < p.slots {
		e.slots = make([]string, p.slots)
	}
	e.slots = e.slots[:p.slots]
	if cap(e.elems) < p.queries {
		e.elems = make([]string, p.queries)
	}
	e.elems = e.elems[:p.queries]
}

// reset forgets the evaluation and everything it pointed to.
func (e *env) reset() {
	clear(e.slots)
	clear(e.elems)
	clear(e.vars)
	e.vars = e.vars[:0]
	if e.pushed {
		clear(e.stack[:cap(e.stack)])
		e.stack, e.pushed = e.stack[:0], false
	}
	e.sc.reset()
	// One by one: slices that stay the same need no write.
	e.ctx, e.p, e.in, e.payload, e.state = nil, nil, nil, "", unscanned
	e.now, e.work, e.err, e.calls = 0, 0, nil, [numLimited]int8{}
	if cap(e.stack) > 256 || cap(e.slots) > 1024 || !e.smallBufs() {
		*e = env{}
	}
}

// smallBufs keeps an unusually large message from staying in memory.
func (e *env) smallBufs() bool {
	n := 0
	for _, b := range e.bufs {
		n += cap(b)
	}
	return n <= maxKept
}

// buffer takes a buffer, which done gives back. Unlike what an arena grows,
// it stays its owner's while other expressions are evaluated.
func (e *env) buffer() []byte {
	if n := len(e.bufs); n > 0 {
		b := e.bufs[n-1]
		e.bufs = e.bufs[:n-1]
		return b[:0]
	}
	return make([]byte, 0, 512)
}

func (e *env) done(b []byte) { e.bufs = append(e.bufs, b) }

// fail abandons the evaluation; the first cause stays.
func (e *env) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// charge counts n steps of work and reports whether the evaluation may go on.
func (e *env) charge(n int) bool {
	if e.work += n; e.work > e.p.maxWork {
		e.fail(fmt.Errorf("%w: more than %d steps", ErrLimit, e.p.maxWork))
	}
	return e.err == nil
}

// room reports whether a value of n bytes may be built.
func (e *env) room(n int) bool {
	if n > e.p.maxValue {
		e.fail(fmt.Errorf("%w: a value of more than %d bytes", ErrLimit, e.p.maxValue))
	}
	return e.charge(n)
}

// string makes a String of what was appended to e.sc.grow().
func (e *env) string(b []byte) Value {
	if !e.room(len(b)) {
		return Value{}
	}
	return Value{kind: String, s: e.sc.string(b)}
}

// raw makes an Array or Object of what was appended to e.sc.grow().
func (e *env) raw(kind Kind, b []byte) Value {
	if !e.room(len(b)) {
		return Value{}
	}
	return Value{kind: kind, s: e.sc.string(b)}
}

// text is v converted to String.
func (e *env) text(v Value) (string, bool) {
	switch v.kind {
	case String:
		return v.s, true
	case Undefined, Null:
		return "", false
	case Array, Object:
		if !e.charge(len(v.s)) {
			return "", false
		}
	}
	b, ok := v.appendText(e.sc.grow(len(v.s)+48), e.p.legacy)
	return e.sc.string(b), ok
}

// load is the value of raw JSON. A long text or number is work each time.
func (e *env) load(raw string) Value {
	if len(raw) > longScalar && raw[0] != '{' && raw[0] != '[' && !e.charge(len(raw)) {
		return Value{}
	}
	return loadRaw(raw, &e.sc, e.p.legacy)
}

// longScalar is the length from which on a text or a number counts as work.
const longScalar = 64

// number is v converted to a number.
func (e *env) number(v Value) (number, bool) {
	if v.kind == String && len(v.s) > longScalar && !e.charge(len(v.s)) {
		return number{}, false
	}
	return v.number()
}

// timestamp is sampled once per evaluation, in milliseconds.
func (e *env) timestamp() int64 {
	if e.now == 0 {
		now := e.in.Time
		if now.IsZero() {
			now = e.clock.now()
		}
		e.now = now.UnixMilli()
	}
	return e.now
}

// slot is the raw JSON at a path of the payload, or empty.
func (e *env) slot(i int) string {
	if e.state == unscanned {
		e.scan()
	}
	return e.slots[i]
}

// scan checks the payload and fills the slots, in one pass.
func (e *env) scan() {
	e.work += len(e.payload)
	e.payload, e.state = e.p.layouts.read(e.payload, &e.search, e.p.paths)
}

// refute is scan, and reports whether it ended early because one of preds does
// not hold, or whether all are known to.
func (e *env) refute(preds []Pred) (refuted, held bool) {
	e.refuter = refuter{preds: preds}
	e.scan()
	e.preds = nil
	held = e.state == isObject && e.held == 1<<len(preds)-1 && len(preds) < 64
	return e.refuted, held
}

// adopt takes what a Scan has found in place of scan; slots says where.
func (e *env) adopt(s *Scan, slots []int32) {
	e.work += len(s.payload)
	e.payload, e.state = s.payload, s.state
	for i, slot := range slots {
		if slot >= 0 {
			e.slots[i] = s.find.slots[slot]
		}
	}
}

// star is the payload as JSON. Undefined if it is empty; it fails the
// evaluation if it is bytes.
func (e *env) star() string {
	if e.state == unscanned {
		e.scan()
	}
	switch e.state {
	case isEmpty:
		return ""
	case isBytes:
		e.fail(ErrNotJSON)
		return ""
	}
	return e.payload
}

// guard turns a panic of f into an error. Functions of the host run in it.
func guard(f func() (Value, error)) (v Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	return f()
}

// A PanicError is what a panic of a host's function becomes.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

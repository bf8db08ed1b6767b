package sql

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
	"unicode/utf8"
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
	in  Input

	payload string // shares the memory of in.Payload, without space around JSON
	state   payloadState

	slots []string // raw JSON found at the program's paths, empty where nothing is
	elems []string // raw JSON of the current element of each query, by its number
	vars  []Value  // of the SET clause
	stack []Value  // arguments of the calls under way
	sc    arena
	bufs  [][]byte // free buffers
	now   int64    // what timestamp() returns

	work  int   // spent of program.maxWork
	err   error // abandons the evaluation
	calls [numLimited]int8
}

var envs = sync.Pool{New: func() any { return new(env) }}

func (p *program) env(ctx context.Context, in *Input) *env {
	e := envs.Get().(*env)
	e.ctx, e.p = ctx, p
	e.in = *in
	e.payload = view(in.Payload)
	if cap(e.slots) < p.slots {
		e.slots = make([]string, p.slots)
	}
	e.slots = e.slots[:p.slots]
	if cap(e.elems) < p.queries {
		e.elems = make([]string, p.queries)
	}
	e.elems = e.elems[:p.queries]
	return e
}

// release forgets the evaluation and everything it pointed to.
func (e *env) release() {
	clear(e.slots)
	clear(e.elems)
	clear(e.vars)
	clear(e.stack[:cap(e.stack)])
	e.sc.reset()
	*e = env{slots: e.slots[:0], elems: e.elems[:0], vars: e.vars[:0], stack: e.stack[:0], sc: e.sc, bufs: e.bufs}
	if cap(e.stack) <= 256 && cap(e.slots) <= 1024 && e.smallBufs() {
		envs.Put(e)
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

func (e *env) load(raw string) Value { return loadRaw(raw, &e.sc, e.p.legacy) }

// timestamp is sampled once per evaluation, in milliseconds.
func (e *env) timestamp() int64 {
	if e.now == 0 {
		if e.in.Time.IsZero() {
			e.in.Time = time.Now()
		}
		e.now = e.in.Time.UnixMilli()
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
	s := e.payload
	i := skipSpace(s, 0)
	if i == len(s) {
		e.state = isEmpty
		if len(s) > 0 {
			e.state = isBytes
		}
		return
	}
	end, ok := i, false
	switch s[i] {
	case '{':
		e.state = isObject
		end, ok = e.scanObject(s, i, foreign, e.p.paths)
	case '[':
		e.state = isArray
		end, ok = skipNested(s, i, foreign)
	}
	e.work += len(s)
	if !ok || skipSpace(s, end) != len(s) || !utf8.ValidString(s) {
		e.state = isBytes
		e.p.paths.clear(e.slots)
		return
	}
	e.payload = s[i:end]
}

// scanObject reads the object at s[i], filling the slots of node's children.
// Of several members with one name the last wins.
func (e *env) scanObject(s string, i, depth int, node *path) (end int, ok bool) {
	if len(node.kids) == 0 {
		return skipNested(s, i, depth)
	}
	if depth >= maxDepth {
		return i, false
	}
	if i = skipSpace(s, i+1); i < len(s) && s[i] == '}' {
		return i + 1, true
	}
	for {
		key := i
		if i >= len(s) || s[i] != '"' {
			return i, false
		}
		if i, ok = skipString(s, i); !ok {
			return i, false
		}
		kid := node.find(s[key:i])
		if i = skipSpace(s, i); i >= len(s) || s[i] != ':' {
			return i, false
		}
		i = skipSpace(s, i+1)
		switch start := i; {
		case kid == nil:
			i, ok = skipValue(s, i, depth+1)
		default:
			if e.slots[kid.slot] != "" {
				kid.clear(e.slots)
			}
			if i < len(s) && s[i] == '{' {
				i, ok = e.scanObject(s, i, depth+1, kid)
			} else {
				i, ok = skipValue(s, i, depth+1)
			}
			e.slots[kid.slot] = s[start:i]
		}
		if !ok {
			return i, false
		}
		if i = skipSpace(s, i); i >= len(s) {
			return i, false
		}
		switch s[i] {
		case ',':
			i = skipSpace(s, i+1)
		case '}':
			return i + 1, true
		default:
			return i, false
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

// A path is a node of the tree of paths that a scope needs. Every node has a
// slot; the root's is -1.
type path struct {
	key    string
	slot   int
	kids   []*path
	byName map[string]*path // of kids, when they are many
}

// manyKids is the number of children from which a map finds them.
const manyKids = 8

// find is the child for a raw key with quotes, or nil.
func (p *path) find(key string) *path {
	in := key[1 : len(key)-1]
	if p.byName != nil {
		if kid := p.byName[in]; kid != nil {
			return kid
		}
	} else {
		for _, kid := range p.kids {
			if len(kid.key) == len(in) && kid.key == in {
				return kid
			}
		}
	}
	if hasEscape(in) {
		for _, kid := range p.kids {
			if keyIs(key, kid.key) {
				return kid
			}
		}
	}
	return nil
}

// add is the node at the path below p, made if need be.
func (p *path) add(keys []string, slot func() int) *path {
	for _, k := range keys {
		var next *path
		for _, kid := range p.kids {
			if kid.key == k {
				next = kid
			}
		}
		if next == nil {
			next = &path{key: k, slot: slot()}
			p.kids = append(p.kids, next)
			if len(p.kids) >= manyKids {
				p.byName = make(map[string]*path, len(p.kids))
				for _, kid := range p.kids {
					p.byName[kid.key] = kid
				}
			}
		}
		p = next
	}
	return p
}

// clear empties the slots of p and below.
func (p *path) clear(slots []string) {
	if p.slot >= 0 {
		slots[p.slot] = ""
	}
	for _, kid := range p.kids {
		kid.clear(slots)
	}
}

package actions

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/thingloom/thingloom/internal/sql"
)

// A Dispatcher opens actions and runs them. Each action is behind a queue of
// its own unless its Spec is Inline, so that a slow sink holds up nobody; its
// workers retry what fails and hand what fails for good to the dead letter.
//
// Actions opened with the same name, owner and parameters share one queue,
// which is what lets a rule be replaced by its equal without a gap.
type Dispatcher struct {
	catalog *Catalog
	opts    Options

	mu     sync.Mutex
	lanes  map[string]*lane // by Identity.ID
	run    *running         // nil before Run
	closed bool             // Run has ended
}

// NewDispatcher returns a Dispatcher of the plugins in c. It starts nothing
// and opens nothing: see Run and Open.
func NewDispatcher(c *Catalog, opts *Options) (*Dispatcher, error) {
	if c == nil {
		return nil, errors.New("actions: NewDispatcher needs a catalog")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Dispatcher{catalog: c, opts: o, lanes: map[string]*lane{}}, nil
}

// Open opens an action that belongs to nobody in particular; see OpenFor.
func (d *Dispatcher) Open(ctx context.Context, name string, params json.RawMessage) (Action, error) {
	return d.OpenFor(ctx, "", name, params)
}

// OpenFor opens the action of that name with params for an owner, as the name
// of a rule. Errors are an *UnknownActionError, a *ParamError, what the plugin's
// Open says, or what the queue says.
//
// The returned Action is an io.Closer: after Close its Do returns ErrClosed, and
// what it took is still delivered. Do of a queued action returns once the
// queue has the request; ErrQueueFull refuses it.
func (d *Dispatcher) OpenFor(ctx context.Context, owner, name string, params json.RawMessage) (Action, error) {
	spec, err := d.catalog.Spec(name)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	l, err := d.lane(ctx, spec, Identity{Owner: owner, Action: name, Params: params, Language: sql.BindingOf(ctx).Dialect()})
	if err != nil {
		return nil, err
	}
	l.refs++
	l.abandoned.Store(false)
	return &handle{lane: l}, nil
}

// lane finds or makes the lane of an identity. d.mu is held.
func (d *Dispatcher) lane(ctx context.Context, spec Spec, id Identity) (*lane, error) {
	l, ok := d.lanes[id.ID()]
	if ok && sql.BindingOf(ctx) == nil {
		return l, nil
	}
	action, err := open(ctx, spec, id.Params)
	if err != nil {
		return nil, err
	}
	if ok {
		// The action that is open already is as good; this one was to see
		// that the rule, whose variables are others perhaps, may have it.
		return l, closeAction(action)
	}
	l = newLane(d, spec, id, action)
	if !spec.Inline {
		l.queue, err = d.opts.Queues.OpenQueue(ctx, id, d.opts.Limits)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("actions: queue of %s: %w", spec.Name, err), closeAction(action))
		}
		if n, _ := l.queue.Size(); n > 0 {
			l.ledger.take(true, uint64(n))
		}
		if d.run != nil {
			d.run.start(l)
		}
	}
	d.lanes[id.ID()] = l
	return l, nil
}

// Run delivers until ctx is done and then drains: nothing more is taken; what
// waits in memory is delivered, what waits in a durable queue stays for the
// next process, both within Options.DrainTimeout. Run returns nil when nothing
// was given up, else ErrDrain. It may be called once.
func (d *Dispatcher) Run(ctx context.Context) error {
	// What is stored is read even if ctx is done already: it may be drained.
	r, left, err := d.begin(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	for _, l := range left {
		d.retire(l) // those that were emptied before they were marked as abandoned
	}
	<-ctx.Done()
	return d.end(r)
}

func (d *Dispatcher) begin(ctx context.Context) (r *running, abandoned []*lane, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.run != nil {
		return nil, nil, errors.New("actions: Run was called before")
	}
	var left []Identity
	for id, err := range d.opts.Queues.Stored(ctx) {
		if err != nil {
			return nil, nil, fmt.Errorf("actions: stored queues: %w", err)
		}
		left = append(left, id)
	}
	d.run = newRunning()
	for _, l := range d.lanes {
		if !l.spec.Inline {
			d.run.start(l)
		}
	}
	// Queues that an earlier process left and no rule opened: rules that are
	// gone or changed. What they took is delivered all the same.
	for _, id := range left {
		if _, ok := d.lanes[id.ID()]; ok {
			continue
		}
		spec, err := d.catalog.Spec(id.Action)
		if err == nil {
			var l *lane
			if l, err = d.left(ctx, spec, id); err == nil {
				l.abandoned.Store(true) // retired once it is empty, unless a rule opens it
				abandoned = append(abandoned, l)
			}
		}
		if err != nil {
			d.opts.Logger.Error("a stored queue cannot be opened, its requests wait", "action", id.Action, "owner", id.Owner, "err", err)
		}
	}
	return d.run, abandoned, nil
}

// left is the lane of a queue that an earlier process left.
func (d *Dispatcher) left(ctx context.Context, spec Spec, id Identity) (*lane, error) {
	b, err := sql.ParseDialect(id.Language)
	if err != nil {
		return nil, err
	}
	return d.lane(sql.WithBinding(ctx, b), spec, id)
}

// end drains and closes everything.
func (d *Dispatcher) end(r *running) error {
	d.mu.Lock()
	d.closed = true
	lanes := make([]*lane, 0, len(d.lanes))
	for _, l := range d.lanes {
		lanes = append(lanes, l)
	}
	d.mu.Unlock()
	for _, l := range lanes {
		l.refuse()
	}
	given := r.drain(lanes, d.opts.DrainTimeout)
	var errs []error
	for _, l := range lanes {
		errs = append(errs, l.shut())
	}
	if given > 0 {
		errs = append(errs, fmt.Errorf("%w: %d requests given up", ErrDrain, given))
	}
	return errors.Join(errs...)
}

// Stats returns the ledgers of the open actions, ordered by action, owner and ID.
func (d *Dispatcher) Stats() []ActionStats {
	d.mu.Lock()
	lanes := make([]*lane, 0, len(d.lanes))
	for _, l := range d.lanes {
		lanes = append(lanes, l)
	}
	d.mu.Unlock()
	all := make([]ActionStats, len(lanes))
	for i, l := range lanes {
		all[i] = l.stats()
	}
	slices.SortFunc(all, func(a, b ActionStats) int {
		return cmp.Or(cmp.Compare(a.Action, b.Action), cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// retire forgets a lane that nobody has open any more and that has nothing
// left to deliver. It reports whether it did.
func (d *Dispatcher) retire(l *lane) {
	d.mu.Lock()
	gone := l.refs == 0 && !d.closed && l.ledger.pending() == 0 && d.lanes[l.id.ID()] == l
	if gone {
		delete(d.lanes, l.id.ID())
		l.refuse()
		// Under the lock: the same queue may be opened again by the next Open.
		l.closeQueue()
	}
	d.mu.Unlock()
	if !gone {
		return
	}
	if err := l.shut(); err != nil {
		d.opts.Logger.Warn("close action", "action", l.spec.Name, "err", err)
	}
}

// newRequestID is 16 random bytes as text.
func newRequestID() string { return rand.Text() }

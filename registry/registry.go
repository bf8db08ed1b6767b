package registry

import (
	"context"
	"slices"
	"sync"

	"github.com/thingloom/thingloom/internal/uuid"
)

// A Registry knows things, types, groups, certificates and policies, and
// decides what a principal may do. It is safe for concurrent use. All of its
// state is in its Store; what it keeps in memory is a bounded cache.
type Registry struct {
	store Store
	opts  Options
	arns  string // "arn:aws:iot:{region}:{account}:"
	auth  authCache

	questions sync.Pool // of *question

	observers struct {
		sync.RWMutex
		fns []*func(context.Context, Event)
	}
	events eventSwitch

	propagation propagation
}

// New returns a Registry over store. It does no I/O.
func New(store Store, opts *Options) (*Registry, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Registry{store: store, opts: o, arns: "arn:aws:iot:" + o.Region + ":" + o.Account + ":"}
	r.auth.init(o.CachedPrincipals)
	return r, nil
}

// Observe calls fn after each committed change, on the goroutine that made
// it, before the call that made it returns. Changes of different entries may
// arrive in another order than they were committed. fn may call the Registry.
// Its context has the values of that of the call, and is never done: what is committed has to be told,
// also if who asked for it has left.
func (r *Registry) Observe(fn func(context.Context, Event)) (cancel func()) {
	r.observers.Lock()
	defer r.observers.Unlock()
	// The slice is replaced and not changed, so notify can range over it
	// without the lock.
	r.observers.fns = append(slices.Clone(r.observers.fns), &fn)
	return func() {
		r.observers.Lock()
		defer r.observers.Unlock()
		r.observers.fns = slices.DeleteFunc(slices.Clone(r.observers.fns),
			func(p *func(context.Context, Event)) bool { return p == &fn })
	}
}

func (r *Registry) notify(ctx context.Context, events []Event) {
	r.observers.RLock()
	fns := r.observers.fns
	r.observers.RUnlock()
	ctx = context.WithoutCancel(ctx)
	for _, e := range events {
		for _, fn := range fns {
			(*fn)(ctx, e)
		}
	}
}

// ARN returns the Amazon resource name of the last part, such as
// "thing/lamp-7".
func (r *Registry) ARN(resource string) string { return r.arns + resource }

func newID() string { return uuid.New().String() }

// Package function runs named Go functions for rules: what a Lambda is to AWS
// IoT, in your process.
//
//	fns, err := function.New(map[string]function.Func{"check": check}, nil)
//	catalog, err := actions.NewCatalog(function.Spec(fns))
//
// and in a rule
//
//	{"function": {"name": "check"}}
//
// The rules' aws_lambda() and an endpoint of your own call the same function
// through Invoke.
package function

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/thingloom/thingloom/actions"
)

// A Func takes an event, as a rule JSON, and returns an answer. It must not
// modify event. It is called from many goroutines, and may be called again for
// the same event: delivery is at least once. An error is tried again by the
// dispatcher unless it is actions.Permanent.
type Func func(ctx context.Context, event []byte) ([]byte, error)

var (
	// ErrNotFound says that no function has that name.
	ErrNotFound = errors.New("function: no such function")
	// ErrPanic is wrapped by the error of a function that panicked; it is permanent.
	ErrPanic = errors.New("function: panic")
)

// Options are the optional parts of Functions. A nil *Options is all defaults.
type Options struct {
	// Timeout bounds one call; the function sees it in its context. Zero
	// means 10 s; negative means none.
	Timeout time.Duration
	// Concurrency is how many calls run at once, over all functions. A
	// further one waits until its context is done. Zero means 256.
	Concurrency int
}

// Functions are named functions. They are safe for concurrent use, and
// immutable: two programs, or two tests, share nothing.
type Functions struct {
	byName map[string]*function
	opts   Options
	slots  chan struct{}
}

type function struct {
	call                                     Func
	invoked, failed, panicked, sum, inflight atomic.Int64
}

// New makes Functions of fns.
func New(fns map[string]Func, opts *Options) (*Functions, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Concurrency == 0 {
		o.Concurrency = 256
	}
	if o.Concurrency < 0 {
		return nil, errors.New("function: Options.Concurrency is negative")
	}
	f := &Functions{byName: map[string]*function{}, opts: o, slots: make(chan struct{}, o.Concurrency)}
	for name, call := range fns {
		if name == "" || call == nil {
			return nil, fmt.Errorf("function: %q: empty name or nil function", name)
		}
		f.byName[name] = &function{call: call}
	}
	return f, nil
}

// Invoke calls the function and returns its answer. The error is ErrNotFound,
// an error of the context, what the function returned, or wraps ErrPanic.
func (f *Functions) Invoke(ctx context.Context, name string, event []byte) (answer []byte, err error) {
	fn, ok := f.byName[name]
	if !ok {
		return nil, actions.Permanent(f.notFound(name))
	}
	if f.opts.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.opts.Timeout)
		defer cancel()
	}
	select {
	case f.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("function %s: waiting for a slot: %w", name, context.Cause(ctx))
	}
	start := time.Now()
	fn.invoked.Add(1)
	fn.inflight.Add(1)
	defer func() {
		if p := recover(); p != nil {
			fn.panicked.Add(1)
			answer, err = nil, actions.Permanent(fmt.Errorf("%w in %s: %v\n%s", ErrPanic, name, p, debug.Stack()))
		}
		if err != nil {
			fn.failed.Add(1)
		}
		fn.inflight.Add(-1)
		fn.sum.Add(int64(time.Since(start)))
		<-f.slots
	}()
	answer, err = fn.call(ctx, event)
	if err != nil {
		return nil, fmt.Errorf("function %s: %w", name, err)
	}
	return answer, nil
}

// Stats are the counters of one function since New.
type Stats struct {
	Invoked  int64
	Failed   int64 // panics included
	Panicked int64
	InFlight int64         // gauge
	Duration time.Duration // of all calls together
}

// Stats returns the counters by name.
func (f *Functions) Stats() map[string]Stats {
	all := make(map[string]Stats, len(f.byName))
	for name, fn := range f.byName {
		all[name] = Stats{fn.invoked.Load(), fn.failed.Load(), fn.panicked.Load(), fn.inflight.Load(), time.Duration(fn.sum.Load())}
	}
	return all
}

// Params are the parameters of the action.
type Params struct {
	Name string `json:"name" required:"true" doc:"name of the function"`
}

// LambdaParams are the parameters of the lambda action of AWS IoT.
type LambdaParams struct {
	FunctionARN actions.Template `json:"functionArn" required:"true" doc:"ARN of the function, perhaps with a version or an alias, or its name; what is between is ignored"`
}

// LambdaSpec returns the plugin "lambda": the action of AWS IoT with its
// parameters, so that rules can be copied. The function is that of the name in
// the ARN; it gets JSON alone. A name that there is not fails the rule's put,
// or where it has substitutions the delivery, for good.
func LambdaSpec(f *Functions) actions.Spec {
	return actions.NewSpec("lambda", "call a Go function of this program, named as by AWS, with the payload", func(_ context.Context, p *LambdaParams) (actions.Action, error) {
		if arn, constant := p.FunctionARN.Constant(); constant {
			if _, ok := f.byName[NameOf(arn)]; !ok {
				return nil, &actions.ParamError{Path: "functionArn", Err: f.notFound(NameOf(arn))}
			}
		}
		return actions.Func(func(ctx context.Context, r *actions.Request) error {
			arn, err := p.FunctionARN.Expand(ctx, r)
			if err != nil {
				return err
			}
			name := NameOf(arn)
			if !json.Valid(r.Payload) {
				return actions.WithResource(actions.Permanent(fmt.Errorf("function %s: the payload is not JSON", name)), arn)
			}
			_, err = f.Invoke(ctx, name, r.Payload)
			return actions.WithResource(err, arn)
		}), nil
	})
}

// NameOf is the name in the ARN of a function,
//
//	arn:aws:lambda:<region>:<account>:function:<name>[:<version or alias>]
//
// or arn itself if it is none.
func NameOf(arn string) string {
	_, rest, ok := strings.Cut(arn, ":function:")
	if !ok {
		return arn
	}
	name, _, _ := strings.Cut(rest, ":")
	return name
}

func (f *Functions) notFound(name string) error {
	return fmt.Errorf("%w: %q; there are %q", ErrNotFound, name, slices.Sorted(maps.Keys(f.byName)))
}

// Spec returns the plugin "function". The event is the payload that the rule
// selected; the answer is dropped, as an asynchronous invocation's is.
func Spec(f *Functions) actions.Spec {
	return actions.NewSpec("function", "call a Go function of this program with the payload", func(_ context.Context, p *Params) (actions.Action, error) {
		if _, ok := f.byName[p.Name]; !ok {
			return nil, &actions.ParamError{Path: "name", Err: f.notFound(p.Name)}
		}
		return actions.Func(func(ctx context.Context, r *actions.Request) error {
			_, err := f.Invoke(ctx, p.Name, r.Payload)
			return actions.WithResource(err, p.Name)
		}), nil
	})
}

package provision

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/thingloom/thingloom/registry"
)

// Options are the optional parts of a Service. A nil *Options is all defaults.
type Options struct {
	// Hook is asked before a template that names a hook is applied in fleet
	// provisioning. Nil refuses those templates.
	Hook Hook

	// HookTimeout is how long the hook may take. Zero means 5 s, as at AWS.
	HookTimeout time.Duration

	// TokenTTL is how long a new certificate waits for its provisioning;
	// after that it is deleted. Zero means 1 h, as at AWS.
	TokenTTL time.Duration

	// ClaimTTL is the validity of a claim certificate of CreateClaim. Zero
	// means 5 min, as at AWS.
	ClaimTTL time.Duration

	// Input opens the files of registration tasks. Nil refuses the tasks.
	Input Input

	// TaskRetention is how long a registration task is kept after its end,
	// with its report. Zero means 30 days.
	TaskRetention time.Duration

	// Now gives the time that is written into data. Nil means time.Now.
	Now func() time.Time

	// Logger hears of provisioning that failed with nobody to be told. Nil is
	// silence.
	Logger *slog.Logger
}

// A Service keeps templates and provisions devices by them. It is safe for
// concurrent use.
type Service struct {
	reg   *registry.Registry
	store registry.Store
	opts  Options

	mu     sync.Mutex
	parsed map[string]*Template // by body; small, and emptied when it is not

	tasks runner
}

// New returns a service over the registry. The store keeps templates and
// ownership tokens and belongs to it alone: a registrypebble store with a
// prefix of its own, or registry.NewMemStore. Run it to have certificates
// deleted that nobody came to own, and registration tasks done.
func New(reg *registry.Registry, store registry.Store, opts *Options) (*Service, error) {
	if reg == nil || store == nil {
		return nil, errors.New("provision: New needs a registry and a store")
	}
	s := &Service{reg: reg, store: store, parsed: map[string]*Template{}}
	s.tasks.wake = make(chan struct{}, 1)
	if opts != nil {
		s.opts = *opts
	}
	o := &s.opts
	for _, d := range []struct {
		to  *time.Duration
		def time.Duration
	}{{&o.HookTimeout, 5 * time.Second}, {&o.TokenTTL, time.Hour}, {&o.ClaimTTL, 5 * time.Minute}, {&o.TaskRetention, 30 * 24 * time.Hour}} {
		if *d.to < 0 {
			return nil, errors.New("provision: Options has a negative duration")
		}
		if *d.to == 0 {
			*d.to = d.def
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// Run deletes, once a minute, the certificates whose ownership tokens have
// expired unused, the claims that have, and old registration tasks; and it does
// the tasks. It blocks until ctx is done and the lines under way are, and returns
// nil then.
func (s *Service) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.runTasks(ctx) })
	defer wg.Wait()
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if err := errors.Join(s.Sweep(ctx), s.purgeTasks(ctx, s.opts.Now().Add(-s.opts.TaskRetention))); err != nil && ctx.Err() == nil {
			s.opts.Logger.Error("provision: sweep", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// template parses a body once.
func (s *Service) template(body string) (*Template, error) {
	s.mu.Lock()
	t := s.parsed[body]
	s.mu.Unlock()
	if t != nil {
		return t, nil
	}
	t, err := Parse([]byte(body))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.parsed) >= 256 {
		clear(s.parsed)
	}
	s.parsed[body] = t
	return t, nil
}

// RegisterThing applies a template body with parameters (AWS IoT contract:
// RegisterThing). It asks no hook.
func (s *Service) RegisterThing(ctx context.Context, body string, params map[string]string) (Result, error) {
	t, err := s.template(body)
	if err != nil {
		return Result{}, err
	}
	p, err := t.Resolve(params)
	if err != nil {
		return Result{}, err
	}
	return s.Apply(ctx, p)
}

// ARNs are the ARNs of what a template has made, as RegisterThing answers them.
func (s *Service) ARNs(r Result) map[string]string {
	all := map[string]string{}
	if r.Thing != "" {
		all["thing"] = s.reg.ARN("thing/" + r.Thing)
	}
	if r.CertificateID != "" {
		all["certificate"] = s.reg.ARN("cert/" + r.CertificateID)
	}
	for _, name := range r.Policies {
		all["policy"] = s.reg.ARN("policy/" + name)
	}
	return all
}

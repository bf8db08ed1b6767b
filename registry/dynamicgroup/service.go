package dynamicgroup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/fleet"
	"github.com/thingloom/thingloom/registry/fleetindex"
)

// ErrQuery reports a query that cannot be read; the *fleet.SyntaxError in it says where.
var ErrQuery = errors.New("dynamicgroup: invalid query")

// ErrOff reports that there is no index to ask.
var ErrOff = errors.New("dynamicgroup: fleet indexing is switched off")

// ErrNeeded reports that the index cannot be switched off.
var ErrNeeded = errors.New("dynamicgroup: there are dynamic thing groups")

// Options are the optional parts of a Service. A nil *Options is all defaults.
type Options struct {
	// Logger hears of memberships that do not fit, and of failures, which are tried again. Nil is silence.
	Logger *slog.Logger
}

// A Service keeps the dynamic groups of one registry. It is safe for concurrent use.
type Service struct {
	reg *registry.Registry
	ix  *fleetindex.Index
	log *slog.Logger

	changing sync.Mutex // held by who changes groups
	groups   atomic.Pointer[[]group]

	mu     sync.Mutex
	things map[string]bool // whose document has changed
	build  map[string]bool // groups whose members are to be found
	wake   chan struct{}
}

// A group is one with its query.
type group struct {
	registry.Group
	query *fleet.Query
}

const (
	// maxPending bounds the things that wait to be asked about. With more, all members and matches are.
	maxPending = 100_000
	// again is after how long what failed is tried again.
	again = time.Second
)

// New returns a service for the dynamic groups of reg over ix. Run it.
func New(ctx context.Context, reg *registry.Registry, ix *fleetindex.Index, opts *Options) (*Service, error) {
	if reg == nil || ix == nil {
		return nil, errors.New("dynamicgroup: New needs a registry and an index")
	}
	s := &Service{reg: reg, ix: ix, log: slog.New(slog.DiscardHandler), things: map[string]bool{}, build: map[string]bool{}, wake: make(chan struct{}, 1)}
	if opts != nil && opts.Logger != nil {
		s.log = opts.Logger
	}
	if err := s.reload(ctx); err != nil {
		return nil, err
	}
	s.buildAll() // what the last process has not come to
	return s, nil
}

// reload reads the groups. Queries were checked when they were stored.
func (s *Service) reload(ctx context.Context) error {
	stored, err := s.reg.DynamicGroups(ctx)
	if err != nil {
		return err
	}
	all := make([]group, len(stored))
	for i, g := range stored {
		q, err := fleet.Parse(g.Dynamic.Query)
		if err != nil {
			return fmt.Errorf("dynamicgroup: group %s: %w: %w", g.Name, ErrQuery, err)
		}
		all[i] = group{g, q}
	}
	s.groups.Store(&all)
	return nil
}

// Create adds a dynamic group. Errors are ErrQuery, ErrOff, and those of registry.CreateDynamicGroup.
func (s *Service) Create(ctx context.Context, g registry.Group, query string) (registry.Group, error) {
	if err := s.check(query); err != nil {
		return registry.Group{}, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	made, err := s.reg.CreateDynamicGroup(ctx, g, query)
	if err == nil {
		err = s.changed(ctx, made.Name)
	}
	return made, err
}

// Update changes a dynamic group, with another query if that is not nil.
func (s *Service) Update(ctx context.Context, u registry.GroupUpdate, query *string) (registry.Group, error) {
	if query != nil {
		if err := s.check(*query); err != nil {
			return registry.Group{}, err
		}
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	g, err := s.reg.UpdateDynamicGroup(ctx, u, query)
	if err == nil && query != nil {
		err = s.changed(ctx, g.Name)
	}
	return g, err
}

// Delete removes a dynamic group. See registry.DeleteDynamicGroup.
func (s *Service) Delete(ctx context.Context, name string, prev int64) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := s.reg.DeleteDynamicGroup(ctx, name, prev); err != nil {
		return err
	}
	return s.reload(ctx)
}

func (s *Service) check(query string) error {
	if _, err := fleet.Parse(query); err != nil {
		return fmt.Errorf("%w: %w", ErrQuery, err)
	}
	if !s.ix.Config().Things {
		return ErrOff
	}
	return nil
}

// changed has the members of a group found.
func (s *Service) changed(ctx context.Context, name string) error {
	if err := s.reload(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	s.build[name] = true
	s.mu.Unlock()
	s.poke()
	return nil
}

// Allow refuses a configuration of the index that dynamic groups cannot do with.
func (s *Service) Allow(_ context.Context, c fleetindex.Config) error {
	if n := len(*s.groups.Load()); n > 0 && !c.Things {
		return fmt.Errorf("%w: %d", ErrNeeded, n)
	}
	return nil
}

// Changed notes that what the index knows of a thing has changed. It does not wait.
func (s *Service) Changed(thing string) {
	if len(*s.groups.Load()) == 0 {
		return
	}
	s.mu.Lock()
	s.things[thing] = true
	full := len(s.things) > maxPending
	if full {
		clear(s.things)
	}
	s.mu.Unlock()
	if full {
		s.buildAll()
	}
	s.poke()
}

func (s *Service) buildAll() {
	s.mu.Lock()
	for _, g := range *s.groups.Load() {
		s.build[g.Name] = true
	}
	s.mu.Unlock()
	s.poke()
}

func (s *Service) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run keeps the memberships until ctx is done, and returns nil then.
func (s *Service) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
		if s.work(ctx) {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(again):
			s.poke()
		}
	}
}

// work does what there is to do. False says that something is left for another try.
func (s *Service) work(ctx context.Context) (done bool) {
	s.mu.Lock()
	things, build := s.things, s.build
	s.things, s.build = map[string]bool{}, map[string]bool{}
	s.mu.Unlock()
	if len(things) == 0 && len(build) == 0 {
		return true
	}
	if s.ix.Status() != fleetindex.Active || !s.ix.Config().Things {
		s.putBack(things, build) // it is being built
		return false
	}
	done = true
	for thing := range things {
		if err := s.ask(ctx, thing); err != nil {
			s.log.Error("dynamic groups", "thing", thing, "err", err)
			done = false
			continue
		}
		delete(things, thing)
	}
	for _, g := range *s.groups.Load() {
		if !build[g.Name] {
			continue
		}
		if err := s.find(ctx, g); err != nil {
			s.log.Error("dynamic group", "group", g.Name, "err", err)
			done = false
			continue
		}
		delete(build, g.Name)
	}
	if !done {
		s.putBack(things, build)
	}
	return done
}

func (s *Service) putBack(things, build map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for thing := range things {
		s.things[thing] = true
	}
	for name := range build {
		s.build[name] = true
	}
}

// find finds the members of a group: asks about those it has, and those that match. The index sees memberships in dynamic
// groups, which queries do not: a thing that is in one may match though the index says no, where something is negated.
func (s *Service) find(ctx context.Context, g group) error {
	for hit, err := range s.ix.All(ctx, g.query.String()) {
		if err == nil {
			err = s.ask(ctx, hit.Name)
		}
		if err != nil {
			return err
		}
	}
	if err := s.askMembers(ctx, g.Name); err != nil {
		return err
	}
	if text := g.query.String(); strings.Contains(text, "NOT") || strings.Contains(text, "-") {
		for _, other := range *s.groups.Load() {
			if err := s.askMembers(ctx, other.Name); err != nil {
				return err
			}
		}
	}
	if err := s.reg.DynamicGroupBuilt(ctx, g.Group); err != nil && !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	return nil
}

// askMembers asks about the things in a group, none if it is gone.
func (s *Service) askMembers(ctx context.Context, group string) error {
	for thing, err := range s.reg.ThingsInGroup(ctx, group, false, "") {
		if errors.Is(err, registry.ErrNotFound) {
			return nil
		}
		if err == nil {
			err = s.ask(ctx, thing)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ask asks all queries about one thing.
func (s *Service) ask(ctx context.Context, thing string) error {
	t, ok, err := s.ix.Thing(ctx, thing)
	if err != nil || !ok {
		return err // of a thing that is deleted the memberships have ended
	}
	groups := *s.groups.Load()
	t.Groups = slices.DeleteFunc(t.Groups, func(name string) bool {
		return slices.ContainsFunc(groups, func(g group) bool { return g.Name == name })
	})
	doc := fleet.NewDocument(t)
	var in []string
	for _, g := range groups {
		if g.query.Match(doc) {
			in = append(in, g.Name)
		}
	}
	out, err := s.reg.SetDynamicMemberships(ctx, thing, in)
	if len(out) > 0 {
		s.log.Warn("a thing is in as many groups as it may be", "thing", thing, "not_in", out)
	}
	if errors.Is(err, registry.ErrNotFound) {
		return nil // deleted meanwhile
	}
	return err
}

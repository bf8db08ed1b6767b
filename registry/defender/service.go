package defender

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thingloom/thingloom/registry"
)

// Options are the optional parts of a Service. A nil *Options is all defaults.
type Options struct {
	// MaxThings is of how many things observations are remembered; those beyond
	// are counted in Stats.Dropped. Zero means 1048576.
	MaxThings int

	// ReportInterval is the least time between two reports of a device. Zero
	// means five minutes, as at AWS; negative means none.
	ReportInterval time.Duration

	// Retention is how long violation events, metric values and audits are kept.
	// Zero means 14 days.
	Retention time.Duration

	// Stale is after how long without a data point a violation is invalidated.
	// Zero means 24 hours.
	Stale time.Duration

	// Expiring is how long before its end a certificate is found to expire. Zero
	// means 30 days.
	Expiring time.Duration

	// Revocations loads the revocation lists (CRLs) of the issuers of certificates,
	// whose signatures the application has checked. It is called once for each
	// check about revoked certificates; nil means that these are not made.
	Revocations func(ctx context.Context) ([]*x509.RevocationList, error)

	// Logging tells whether the backend keeps logs. Nil means that
	// LOGGING_DISABLED_CHECK is not made.
	Logging func(ctx context.Context) (bool, error)

	// RoleAliases returns what devices may get credentials for. Nil means that
	// the checks about role aliases are not made.
	RoleAliases func(ctx context.Context) ([]RoleAlias, error)

	// Now gives the time. Nil means time.Now. Run waits by the clock of package time.
	Now func() time.Time

	// Changed hears of each thing whose active violations have changed, once that
	// is stored; suppressed ones count. It may call the Service. Nil is nobody.
	Changed func(ctx context.Context, thing string)

	// Logger is told what Run could not do. Nil is silence.
	Logger *slog.Logger
}

func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	if out.MaxThings == 0 {
		out.MaxThings = 1 << 20
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&out.ReportInterval, 5 * time.Minute}, {&out.Retention, 14 * 24 * time.Hour}, {&out.Stale, 24 * time.Hour}, {&out.Expiring, 30 * 24 * time.Hour}} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if out.Now == nil {
		out.Now = time.Now
	}
	if out.Changed == nil {
		out.Changed = func(context.Context, string) {}
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	if out.MaxThings < 0 || out.Retention < 0 || out.Stale < 0 || out.Expiring < 0 {
		return out, errors.New("defender: an option is negative")
	}
	return out, nil
}

// The key space, format 1. Things may be client IDs of any characters, so they
// are escaped as segments of URLs. Times are nanoseconds since 1970 in 20
// digits. Values are JSON:
//
//	p/{profile}                      Profile
//	t/{profile}/{ARN}                attachment, no value
//	m/{metric}                       CustomMetric
//	d/{dimension}                    TopicDimension
//	v/{thing}/{profile}/{behavior}   Violation that is active
//	e/{time}/{violation}/{type}      ViolationEvent
//	y/{violation}                    Verification
//	x/{thing}/{metric}/{time}        Datum; with a dimension {metric}|{dimension}|{operator}
//	ac                               AuditConfiguration
//	as/{name}                        ScheduledAudit
//	at/{task}                        Audit
//	af/{task}/{number}               Finding
const (
	keyProfile, keyTarget        = "p/", "t/"
	keyMetric, keyDimension      = "m/", "d/"
	keyViolation, keyEvent       = "v/", "e/"
	keyVerification, keyDatum    = "y/", "x/"
	keyAuditConfig, keyScheduled = "ac", "as/"
	keyAudit, keyFinding         = "at/", "af/"
	maxTargetProfiles            = 5
)

// A Service watches things. It is safe for concurrent use.
type Service struct {
	store registry.Store
	reg   *registry.Registry
	opts  Options

	watch  watch
	live   connections
	config atomic.Pointer[config]
	used   atomic.Pointer[[]usedDimension] // by profiles

	admin sync.Mutex // held while the configuration changes
	// eval is held while a data point is judged and what follows of it is
	// stored: that is once in five minutes for a thing, and a write only where
	// it begins, goes on or ends a violation.
	eval       sync.Mutex
	active     map[string]map[streakKey]*Violation // by thing
	thresholds atomic.Pointer[map[streakKey]float64]
	judged     atomic.Int64 // the last slot that Evaluate took

	observers struct {
		sync.RWMutex
		fns []*func(context.Context, Event)
	}
	dropped, reports, refused, violations, faults atomic.Uint64
}

// Open returns a Service over store, which is for it alone, with the things,
// groups, certificates and policies of reg. It reads what is configured and
// which violations are active.
func Open(ctx context.Context, store registry.Store, reg *registry.Registry, opts *Options) (*Service, error) {
	if store == nil || reg == nil {
		return nil, errors.New("defender: Open needs a store and a registry")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Service{store: store, reg: reg, opts: o, active: map[string]map[streakKey]*Violation{}}
	s.watch.seed, s.watch.limit = maphash.MakeSeed(), max(1, o.MaxThings/len(s.watch.shards))
	c := &config{map[string]*Profile{}, map[string]map[string]bool{}, map[string]CustomMetric{}, map[string]TopicDimension{}}
	for p, err := range values[Profile](ctx, s, keyProfile, "") {
		if err != nil {
			return nil, err
		}
		c.profiles[p.Name] = &p
		c.targets[p.Name] = map[string]bool{}
		for e, err := range store.Scan(ctx, keyTarget+p.Name+"/", "") {
			if err != nil {
				return nil, err
			}
			c.targets[p.Name][e.Key[len(keyTarget+p.Name+"/"):]] = true
		}
	}
	for m, err := range values[CustomMetric](ctx, s, keyMetric, "") {
		if err != nil {
			return nil, err
		}
		c.metrics[m.Name] = m
	}
	for d, err := range values[TopicDimension](ctx, s, keyDimension, "") {
		if err != nil {
			return nil, err
		}
		c.dimensions[d.Name] = d
	}
	for v, err := range values[Violation](ctx, s, keyViolation, "") {
		if err != nil {
			return nil, err
		}
		s.setActive(v.Thing, streakKey{v.Profile, v.Behavior.Name}, &v)
	}
	s.publish(c)
	return s, nil
}

// publish makes c the configuration.
func (s *Service) publish(c *config) {
	var used []usedDimension
	use := func(d *Dimension) {
		if d != nil && !slices.ContainsFunc(used, func(u usedDimension) bool { return u.Dimension == *d }) {
			used = append(used, usedDimension{*d, c.dimensions[d.Name].Filters})
		}
	}
	for _, p := range c.profiles {
		for _, b := range p.Behaviors {
			use(b.Dimension)
		}
		for _, r := range p.Retain {
			use(r.Dimension)
		}
	}
	s.used.Store(&used)
	s.config.Store(c)
}

// configure changes the configuration: change gets a copy and returns the
// writes that make it last.
func (s *Service) configure(ctx context.Context, change func(*config) ([]registry.Op, error)) error {
	s.admin.Lock()
	defer s.admin.Unlock()
	old := s.config.Load()
	c := &config{maps.Clone(old.profiles), maps.Clone(old.targets), maps.Clone(old.metrics), maps.Clone(old.dimensions)}
	ops, err := change(c)
	if err != nil {
		return err
	}
	if err := s.store.Apply(ctx, ops...); err != nil {
		return err
	}
	s.publish(c)
	return nil
}

func put(key string, v any) (registry.Op, error) {
	value, err := json.Marshal(v)
	if err != nil {
		return registry.Op{}, fmt.Errorf("defender: key %q: %w", key, err)
	}
	return registry.Op{Kind: registry.Put, Key: key, Value: value, Prev: registry.Any}, nil
}

func remove(key string) registry.Op {
	return registry.Op{Kind: registry.Delete, Key: key, Prev: registry.Any}
}

// load reads key into v.
func (s *Service) load(ctx context.Context, key string, v any) (bool, error) {
	e, err := s.store.Get(ctx, key)
	if errors.Is(err, registry.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(e.Value, v); err != nil {
		return false, fmt.Errorf("defender: key %q: %w", key, err)
	}
	return true, nil
}

// values decodes the entries with the prefix, beyond prefix + after.
func values[T any](ctx context.Context, s *Service, prefix, after string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if after != "" {
			after = prefix + after
		}
		for e, err := range s.store.Scan(ctx, prefix, after) {
			var v T
			if err == nil {
				if err = json.Unmarshal(e.Value, &v); err != nil {
					err = fmt.Errorf("defender: key %q: %w", e.Key, err)
				}
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

func stamp(t time.Time) string { return fmt.Sprintf("%020d", t.UnixNano()) }

func escape(thing string) string { return url.PathEscape(thing) }

// ARN returns the ARN of a resource, such as "securityprofile/p".
func (s *Service) ARN(resource string) string { return s.reg.ARN(resource) }

// Now is the time by Options.Now.
func (s *Service) Now() time.Time { return s.opts.Now() }

// Record counts what a broker saw of a client. It neither blocks nor does I/O. A Recorder counts messages at less cost.
func (s *Service) Record(o Observation) {
	s.watch.shard(o.Thing).observed.Add(1)
	now := s.opts.Now()
	s.live.record(&o, now)
	from, _ := parseAddress(o.IP)
	if !s.watch.with(o.Thing, now, func(t *watched) { t.observe(&o, from, now, *s.used.Load()) }) {
		s.dropped.Add(1)
	}
}

// Stats are the counters of a Service. They only grow.
type Stats struct {
	Observed   uint64 // observations
	Dropped    uint64 // of them, those of things beyond Options.MaxThings
	Reports    uint64 // of devices, accepted
	Refused    uint64 // of devices, not accepted
	Violations uint64 // that began
	Faults     uint64 // steps that failed; see the log
}

// Stats returns the counters.
func (s *Service) Stats() Stats {
	return Stats{s.watch.observed(), s.dropped.Load(), s.reports.Load(), s.refused.Load(), s.violations.Load(), s.faults.Load()}
}

// An Event is the beginning or end of a violation, as a message for rules.
type Event struct {
	// Topic is $aws/events/deviceDefender/{thing}/{profile}/{behavior}/{type},
	// with names escaped as segments of URLs (our choice: AWS sends to SNS).
	Topic   string
	Payload []byte // JSON; do not modify
	ViolationEvent
}

// Observe calls fn for each violation event that is not suppressed, once it is
// stored. fn may call the Service.
func (s *Service) Observe(fn func(context.Context, Event)) (cancel func()) {
	s.observers.Lock()
	defer s.observers.Unlock()
	s.observers.fns = append(slices.Clone(s.observers.fns), &fn)
	return func() {
		s.observers.Lock()
		defer s.observers.Unlock()
		s.observers.fns = slices.DeleteFunc(slices.Clone(s.observers.fns), func(p *func(context.Context, Event)) bool { return p == &fn })
	}
}

func (s *Service) tell(ctx context.Context, e ViolationEvent) {
	if e.Behavior.Suppress {
		return
	}
	found, err := s.Verification(ctx, e.ID)
	if err != nil { // the event is worth more than what is thought of it
		s.fault("verification of a violation not read", err)
	}
	payload, err := json.Marshal(struct {
		ID       string   `json:"violationId"`
		Thing    string   `json:"thingName"`
		Profile  string   `json:"securityProfileName"`
		Behavior Behavior `json:"behavior"`
		Type     string   `json:"violationEventType"`
		Value    Value    `json:"metricValue"`
		Time     int64    `json:"violationEventTime"` // milliseconds
		State    string   `json:"verificationState"`
	}{e.ID, e.Thing, e.Profile, e.Behavior, e.Type, e.Value, e.Time.UnixMilli(), found.State})
	if err != nil {
		s.fault("violation not told", err)
		return
	}
	s.observers.RLock()
	fns := s.observers.fns
	s.observers.RUnlock()
	topic := "$aws/events/deviceDefender/" + escape(e.Thing) + "/" + e.Profile + "/" + e.Behavior.Name + "/" + e.Type
	for _, fn := range fns {
		(*fn)(ctx, Event{topic, payload, e})
	}
}

func (s *Service) fault(what string, err error) {
	s.faults.Add(1)
	s.opts.Logger.Error(what, "err", err)
}

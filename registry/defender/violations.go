package defender

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/thingloom/thingloom/registry"
)

// A ViolationQuery selects violations; zero fields select all.
type ViolationQuery struct {
	Thing, Profile string
	Type           string // STATIC, STATISTICAL, or MACHINE_LEARNING, which there is none of
	Suppressed     *bool  // true: only suppressed ones, false: only others
	Verification   string
}

func (q *ViolationQuery) matches(v *Violation, found Verification) bool {
	return (q.Thing == "" || v.Thing == q.Thing) && (q.Profile == "" || v.Profile == q.Profile) &&
		(q.Type == "" || v.Behavior.Criteria.Type() == q.Type) && (q.Suppressed == nil || *q.Suppressed == v.Behavior.Suppress) &&
		(q.Verification == "" || found.State == q.Verification)
}

func (q *ViolationQuery) check() error {
	return errors.Join(oneOf("behaviorCriteriaType", q.Type, "", "STATIC", "STATISTICAL", "MACHINE_LEARNING"),
		oneOf("verificationState", q.Verification, append([]string{""}, verificationStates...)...))
}

var verificationStates = []string{"TRUE_POSITIVE", "BENIGN_POSITIVE", "FALSE_POSITIVE", "UNKNOWN"}

// ActiveViolations returns the violations that go on, in the order of their IDs,
// with what was found out about them. Errors are ErrInvalid, and ErrNotFound for
// a profile that does not exist.
func (s *Service) ActiveViolations(ctx context.Context, q ViolationQuery) (out []Violation, found []Verification, err error) {
	if q.Profile != "" {
		_, err = s.Profile(q.Profile)
	}
	if err := errors.Join(q.check(), err); err != nil {
		return nil, nil, err
	}
	s.eval.Lock()
	for _, mine := range s.active {
		for _, v := range mine {
			out = append(out, *v)
		}
	}
	s.eval.Unlock()
	slices.SortFunc(out, func(a, b Violation) int { return cmp.Compare(a.ID, b.ID) })
	var kept []Violation
	for i := range out {
		x, err := s.Verification(ctx, out[i].ID)
		if err != nil {
			return nil, nil, err
		}
		if q.matches(&out[i], x) {
			kept, found = append(kept, out[i]), append(found, x)
		}
	}
	return kept, found, nil
}

// Events yields the violation events from start until before end, oldest
// first, with what was found out; after is the key of the last one seen, or
// empty, and a key comes with each.
func (s *Service) Events(ctx context.Context, start, end time.Time, q ViolationQuery, after string) iter.Seq2[KeyedEvent, error] {
	return func(yield func(KeyedEvent, error) bool) {
		if err := q.check(); err != nil {
			yield(KeyedEvent{}, err)
			return
		}
		if after == "" {
			after = stamp(start)
		}
		for e, err := range values[ViolationEvent](ctx, s, keyEvent, after) {
			if err != nil {
				yield(KeyedEvent{}, err)
				return
			}
			if !e.Time.Before(end) {
				return
			}
			x, err := s.Verification(ctx, e.ID)
			if err != nil {
				yield(KeyedEvent{}, err)
				return
			}
			if q.matches(&e.Violation, x) && !yield(KeyedEvent{stamp(e.Time) + "/" + e.ID + "/" + e.Type, e, x}, nil) {
				return
			}
		}
	}
}

// A KeyedEvent is an event with its place in the list.
type KeyedEvent struct {
	Key string
	ViolationEvent
	Verification
}

// Verification returns what was found out about a violation: UNKNOWN at first.
func (s *Service) Verification(ctx context.Context, id string) (Verification, error) {
	v := Verification{State: "UNKNOWN"}
	_, err := s.load(ctx, keyVerification+id, &v)
	return v, err
}

// Verify says what was found out about a violation.
func (s *Service) Verify(ctx context.Context, id string, v Verification) error {
	if err := errors.Join(checkName("violationId", id), oneOf("verificationState", v.State, verificationStates...)); err != nil {
		return err
	}
	if utf8.RuneCountInString(v.Description) > 1000 {
		return invalid("verificationStateDescription", "has more than 1000 characters")
	}
	op, err := put(keyVerification+id, v)
	if err != nil {
		return err
	}
	return s.store.Apply(ctx, op)
}

// purge deletes what is older than Options.Retention.
func (s *Service) purge(ctx context.Context) error {
	before := s.opts.Now().Add(-s.opts.Retention)
	var ops []registry.Op
	flush := func(limit int) error {
		if len(ops) < limit {
			return nil
		}
		err := s.store.Apply(ctx, ops...)
		ops = ops[:0]
		return err
	}
	for e, err := range s.store.Scan(ctx, keyEvent, "") {
		if err != nil {
			return err
		}
		at, rest, _ := strings.Cut(e.Key[len(keyEvent):], "/")
		if at >= stamp(before) {
			break
		}
		id, _, _ := strings.Cut(rest, "/")
		ops = append(ops, remove(e.Key))
		if !s.isActive(id) {
			ops = append(ops, remove(keyVerification+id))
		}
		// A violation has several events: in one write no key comes twice.
		if err := flush(1); err != nil {
			return err
		}
	}
	for e, err := range s.store.Scan(ctx, keyDatum, "") {
		if err != nil {
			return err
		}
		if e.Key[strings.LastIndexByte(e.Key, '/')+1:] < stamp(before) {
			ops = append(ops, remove(e.Key))
		}
		if err := flush(500); err != nil {
			return err
		}
	}
	if err := flush(1); err != nil {
		return err
	}
	return s.purgeAudits(ctx, before)
}

func (s *Service) isActive(id string) bool {
	s.eval.Lock()
	defer s.eval.Unlock()
	for _, mine := range s.active {
		for _, v := range mine {
			if v.ID == id {
				return true
			}
		}
	}
	return false
}

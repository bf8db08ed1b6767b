package shadow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"
)

// A View is one shadow seen as a Go type; For makes it. It is a small value,
// may be copied and used from many goroutines.
type View[T any] struct {
	svc *Service
	ref Ref
}

// For returns a typed view of a shadow. T is what encoding/json makes of one
// section, as a rule a struct with json tags; desired and reported have the
// same type. What a document holds beyond T is left alone.
//
//	type Lamp struct {
//		On    bool `json:"on"`
//		Level int  `json:"level,omitempty"`
//	}
//	lamp := shadow.For[Lamp](svc, shadow.Ref{Thing: "lamp-7"})
//	_, err := lamp.Update(ctx, func(s *shadow.State[Lamp]) error {
//		s.Desired = &Lamp{On: true}
//		return nil
//	})
func For[T any](svc *Service, ref Ref) View[T] { return View[T]{svc, ref} }

// A State is a document in the type of a View.
type State[T any] struct {
	// Desired and Reported are nil where the section is absent.
	Desired, Reported *T

	// Delta is what desired asks for and reported lacks, nil if they agree. Only
	// the fields that the delta has are set; where zero values must be told
	// from absent ones look into DeltaJSON, or make the fields of T pointers.
	Delta     *T
	DeltaJSON json.RawMessage

	// Version is 0 where there is no shadow; then all else is zero.
	Version int64
	Time    time.Time // when it was last written
	By      string    // who wrote it
}

// Get returns the state. ErrNotFound if there is no shadow, *TypeError if
// its JSON is not that of T.
func (v View[T]) Get(ctx context.Context) (State[T], error) {
	doc, err := v.svc.Get(ctx, v.ref)
	if err != nil {
		return State[T]{}, err
	}
	return StateOf[T](v.ref, doc)
}

// Update changes the shadow by what edit does to its state: fields of Desired
// and Reported that edit changed are written, those it left are not touched,
// not even if someone else wrote them meanwhile. A section set where it was nil
// is written whole, one set to nil is removed. The other members of State are
// for reading. A shadow that does not exist comes as the zero State.
//
// If another writer wins in between, edit is called again with what is there
// then, so it must not do anything else. Its error ends Update and is returned
// as it is. Update returns the state after the write; *TypeError as in Get,
// and what Service.Update says else.
func (v View[T]) Update(ctx context.Context, edit func(s *State[T]) error) (State[T], error) {
	var after State[T]
	_, err := v.svc.updateWith(ctx, v.ref, func(stored Document) (*Request, error) {
		if !stored.Exists() {
			stored = Document{}
		}
		state, err := Edit(v.ref, stored, edit)
		if err != nil {
			return nil, err
		}
		if state == nil {
			state = json.RawMessage("{}")
		}
		return ParseRequest(fmt.Appendf(nil, `{"state":%s}`, state), v.svc.opts.Limits)
	}, func(c Change) (err error) {
		after, err = StateOf[T](v.ref, c.After)
		return err
	})
	if err != nil {
		return State[T]{}, err
	}
	return after, nil
}

// Watch is Service.Watch in types. A deletion comes as the zero State. A
// document that is not of T ends the loop with a *TypeError.
func (v View[T]) Watch(ctx context.Context, when Condition) iter.Seq2[State[T], error] {
	return func(yield func(State[T], error) bool) {
		for doc, err := range v.svc.Watch(ctx, v.ref, when) {
			var s State[T]
			if err == nil && doc.Exists() {
				s, err = StateOf[T](v.ref, doc)
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
	}
}

// StateOf is a document in the type T, as a View has it. Errors are *TypeError, and ErrCorrupt for sections that are
// no objects.
func StateOf[T any](ref Ref, doc Document) (s State[T], err error) {
	delta, err := Delta(doc.Desired, doc.Reported)
	if err != nil {
		return s, wrap(ref, "delta", err)
	}
	s = State[T]{DeltaJSON: delta, Version: doc.Version, Time: doc.Time, By: doc.By}
	for _, part := range []struct {
		section string
		raw     json.RawMessage
		into    **T
	}{{"desired", doc.Desired, &s.Desired}, {"reported", doc.Reported, &s.Reported}, {"delta", delta, &s.Delta}} {
		if part.raw == nil {
			continue
		}
		*part.into = new(T)
		if err := json.Unmarshal(part.raw, *part.into); err != nil {
			return State[T]{}, &TypeError{Ref: ref, Section: part.section, Field: fieldOf(err), Err: err}
		}
	}
	return s, nil
}

func fieldOf(err error) string {
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return te.Field
	}
	return ""
}

// Edit returns what a request has to say under "state" to do what edit does to the typed state of doc, nil if that
// is nothing. View.Update does this on the service's side; who speaks to the service by MQTT or HTTP sends it. Errors
// are that of edit, as it is, and *TypeError.
func Edit[T any](ref Ref, doc Document, edit func(*State[T]) error) (json.RawMessage, error) {
	// Decoded twice: what edit gets may share memory with itself alone.
	before, err := StateOf[T](ref, doc)
	if err != nil {
		return nil, err
	}
	after, err := StateOf[T](ref, doc)
	if err != nil {
		return nil, err
	}
	if err := edit(&after); err != nil {
		return nil, err
	}
	var b []byte
	for _, part := range []struct {
		section       string
		before, after *T
	}{{"desired", before.Desired, after.Desired}, {"reported", before.Reported, after.Reported}} {
		patch, err := sectionPatch(part.before, part.after)
		if err != nil {
			return nil, &TypeError{Ref: ref, Section: part.section, Err: err}
		}
		if patch == nil {
			continue
		}
		if b = append(b, ','); len(b) == 1 {
			b[0] = '{'
		}
		b = append(append(append(append(b, '"'), part.section...), `":`...), patch...)
	}
	if b == nil {
		return nil, nil
	}
	return append(b, '}'), nil
}

// sectionPatch is nil if nothing changed.
func sectionPatch[T any](before, after *T) (json.RawMessage, error) {
	switch {
	case before == nil && after == nil:
		return nil, nil
	case after == nil:
		return json.RawMessage("null"), nil
	}
	to, err := objectOf(after)
	if err != nil {
		return nil, err
	}
	from := node{kind: object}
	if before != nil {
		if from, err = objectOf(before); err != nil {
			return nil, err
		}
	}
	return patchOf(&from, &to), nil
}

func objectOf(v any) (node, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return node{}, err
	}
	n, _, err := parse(string(raw))
	if err == nil && n.kind != object {
		err = fmt.Errorf("%T is no JSON object", v)
	}
	return n, err
}

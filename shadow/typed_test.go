package shadow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/thingloom/thingloom/shadow"
)

type lamp struct {
	On    bool           `json:"on"`
	Level int            `json:"level,omitempty"`
	Color *color         `json:"color"`
	Tags  map[string]int `json:"tags,omitempty"`
}

type color struct {
	Hue int `json:"hue"`
}

func TestTypedUpdate(t *testing.T) {
	for _, tt := range []struct {
		what, before string
		edit         func(s *shadow.State[lamp])
		state        string // of the request that Update made
		desired      string
	}{
		{"a section set where there was none is written whole, without what is nil", `{"state":{}}`,
			func(s *shadow.State[lamp]) { s.Desired = &lamp{} }, `{"desired":{"on":false,"color":null}}`, `{"on":false}`},
		{"a field that is not touched is not written", `{"state":{"desired":{"on":true,"level":3}}}`,
			func(s *shadow.State[lamp]) { s.Desired.Level = 4 }, `{"desired":{"level":4}}`, `{"on":true,"level":4}`},
		{"what the type does not know stays", `{"state":{"desired":{"on":true,"x":[1,2],"color":{"hue":1,"alpha":2}}}}`,
			func(s *shadow.State[lamp]) { s.Desired.Color.Hue = 9 }, `{"desired":{"color":{"hue":9}}}`, `{"on":true,"x":[1,2],"color":{"hue":9,"alpha":2}}`},
		{"a pointer set to nil removes", `{"state":{"desired":{"on":true,"color":{"hue":1}}}}`,
			func(s *shadow.State[lamp]) { s.Desired.Color = nil }, `{"desired":{"color":null}}`, `{"on":true}`},
		{"a member of a map that is gone is removed", `{"state":{"desired":{"tags":{"a":1,"b":2}}}}`,
			func(s *shadow.State[lamp]) { delete(s.Desired.Tags, "a") }, `{"desired":{"tags":{"a":null}}}`, `{"tags":{"b":2}}`},
		{"a section set to nil is removed", `{"state":{"desired":{"on":true},"reported":{"on":true}}}`,
			func(s *shadow.State[lamp]) { s.Desired, s.Reported.On = nil, false }, `{"desired":null,"reported":{"on":false}}`, ``},
		{"nothing changed is an update all the same", `{"state":{"desired":{"on":true}}}`,
			func(*shadow.State[lamp]) {}, `{}`, `{"on":true}`},
	} {
		svc := open(t, nil)
		ref := shadow.Ref{Thing: "t"}
		update(t, svc, ref, tt.before)
		var c shadow.Change
		svc.Observe(func(_ context.Context, got shadow.Change) { c = got })
		s, err := shadow.For[lamp](svc, ref).Update(t.Context(), func(s *shadow.State[lamp]) error { tt.edit(s); return nil })
		if err != nil || s.Version != 2 || string(c.State) != tt.state || string(c.After.Desired) != tt.desired {
			t.Errorf("%s: request %s, desired %s, %v", tt.what, c.State, c.After.Desired, err)
		}
	}
}

// Writers of one counter lose no step: edit is called again for who lost a race.
func TestTypedUpdateIsOptimistic(t *testing.T) {
	svc := open(t, &shadow.Options{MaxInFlight: -1})
	view := shadow.For[struct {
		N int `json:"n"`
	}](svc, shadow.Ref{Thing: "t"})
	type state = shadow.State[struct {
		N int `json:"n"`
	}]
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				_, err := view.Update(t.Context(), func(s *state) error {
					if s.Reported == nil {
						s.Reported = &struct {
							N int `json:"n"`
						}{}
					}
					s.Reported.N++
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if s, err := view.Get(t.Context()); err != nil || s.Reported.N != 400 || s.Version != 400 {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestTypedErrors(t *testing.T) {
	svc := open(t, nil)
	ref := shadow.Ref{Thing: "t"}
	view := shadow.For[lamp](svc, ref)
	if _, err := view.Get(t.Context()); !errors.Is(err, shadow.ErrNotFound) {
		t.Errorf("absent: %v", err)
	}
	stop := errors.New("stop")
	if _, err := view.Update(t.Context(), func(s *shadow.State[lamp]) error {
		if s.Version != 0 || s.Desired != nil {
			t.Errorf("a shadow that is not there: %+v", s)
		}
		return stop
	}); !errors.Is(err, stop) {
		t.Errorf("an edit that fails: %v", err)
	}
	update(t, svc, ref, `{"state":{"reported":{"color":{"hue":"red"}}}}`)
	_, err := view.Get(t.Context())
	if te, ok := errors.AsType[*shadow.TypeError](err); !ok || !errors.Is(err, shadow.ErrType) || te.Section != "reported" || te.Field != "color.hue" || te.Ref != ref {
		t.Errorf("another type: %v", err)
	}
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); !ok {
		t.Errorf("the cause is hidden: %v", err)
	}
	big := make([]byte, 9000)
	for i := range big {
		big[i] = 'x'
	}
	if _, err := shadow.For[map[string]string](svc, shadow.Ref{Thing: "m"}).Update(t.Context(), func(s *shadow.State[map[string]string]) error {
		s.Desired = &map[string]string{"a": string(big)}
		return nil
	}); !errors.Is(err, shadow.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if _, err := shadow.For[[]int](svc, shadow.Ref{Thing: "a"}).Update(t.Context(), func(s *shadow.State[[]int]) error {
		s.Desired = &[]int{1}
		return nil
	}); !errors.Is(err, shadow.ErrType) {
		t.Errorf("a type that is no object: %v", err)
	}
}

func TestTypedWatch(t *testing.T) {
	svc := open(t, nil)
	ref := shadow.Ref{Thing: "t"}
	view := shadow.For[lamp](svc, ref)
	update(t, svc, ref, `{"state":{"desired":{"on":true}}}`)
	n := 0
	for s, err := range view.Watch(t.Context(), nil) {
		switch n++; n {
		case 1:
			if err != nil || s.Delta == nil || !s.Delta.On || s.Reported != nil {
				t.Fatalf("first: %+v, %v", s, err)
			}
			if _, err := svc.Delete(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
			update(t, svc, ref, `{"state":{"desired":{"on":3}}}`)
		case 2:
			if err != nil || s.Version != 0 {
				t.Fatalf("deletion: %+v, %v", s, err)
			}
		case 3:
			if !errors.Is(err, shadow.ErrType) {
				t.Fatalf("another type: %+v, %v", s, err)
			}
		}
	}
	if n != 3 {
		t.Errorf("%d rounds", n)
	}
}

func ExampleFor() {
	type Lamp struct {
		On    bool `json:"on"`
		Level int  `json:"level,omitempty"`
	}
	ctx := context.Background()
	svc, err := shadow.New(shadow.NewMemStore(), nil)
	if err != nil {
		panic(err)
	}
	lamp := shadow.For[Lamp](svc, shadow.Ref{Thing: "lamp-7"})
	state, err := lamp.Update(ctx, func(s *shadow.State[Lamp]) error {
		s.Desired = &Lamp{On: true, Level: 40}
		s.Reported = &Lamp{On: true}
		return nil
	})
	fmt.Println(state.Version, state.Desired.Level, string(state.DeltaJSON), err)
	// Output: 1 40 {"level":40} <nil>
}

package registry

import (
	"errors"
	"fmt"
	"sync"
	"testing"
)

func TestPropagated(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	lamp := ThingType{Name: "lamp", Propagating: []PropagatingAttribute{{Key: "where", Thing: "site"}, {Key: "who", Connection: "iot:Thing.ThingName"},
		{Key: "client", Connection: "iot:ClientId"}, {Key: "none", Thing: "absent"}, {Key: "where", Thing: "floor"}}}
	for _, typ := range []ThingType{lamp, {Name: "plain"}} {
		_, err := f.CreateThingType(ctx, typ)
		f.ok(err)
	}
	for name, typ := range map[string]string{"l": "lamp", "p": "plain"} {
		_, err := f.CreateThing(ctx, Thing{Name: name, Type: typ, Attributes: map[string]string{"site": "berlin", "floor": "2"}})
		f.ok(err)
	}
	cert := func() string {
		c, _, err := f.CreateKeysAndCertificate(ctx, &KeyOptions{Type: ECP256, Status: StatusActive})
		f.ok(err)
		return c.ID
	}
	tied, shared := cert(), cert()
	f.ok(f.AttachPrincipalExclusively(ctx, "l", tied), f.AttachPrincipal(ctx, "p", shared))
	want := func(what, principal, client, want string) {
		t.Helper()
		got, err := f.Propagated(ctx, principal, client)
		f.ok(err)
		if text := fmt.Sprint(got); text != want {
			t.Errorf("%s: got %s, want %s", what, text, want)
		}
	}
	want("tied to a lamp", tied, "c-1", "[{where berlin} {who l} {client c-1} {where 2}]")
	want("of another type", shared, "p", "[]")
	want("of no thing", shared, "l", "[]")
	want("an identity", "somebody", "l", "[]")
	_, err := f.UpdateThing(ctx, ThingUpdate{Name: "l", Attributes: map[string]string{"site": "oslo"}})
	f.ok(err)
	want("the thing has moved", tied, "l", "[{where oslo} {who l} {client l}]")
	lamp.Propagating = lamp.Propagating[1:2]
	_, err = f.UpdateThingType(ctx, lamp)
	f.ok(err)
	want("another list", tied, "l", "[{who l}]")
	_, err = f.UpdateThing(ctx, ThingUpdate{Name: "l", RemoveType: true})
	f.ok(err)
	want("without type", tied, "l", "[]")
	_, err = f.UpdateThing(ctx, ThingUpdate{Name: "p", Type: "lamp"})
	f.ok(err)
	want("a thing that became a lamp", shared, "p", "[{who p}]")
}

// What was read of the types before a change is not taken for what is after it.
func TestPropagatedWhileTypesChange(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := f.propagatingTypes(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 300 {
		typ := ThingType{Name: "x", Propagating: []PropagatingAttribute{{Key: fmt.Sprint(i), Thing: "a"}}}
		_, err := f.UpdateThingType(ctx, typ)
		if errors.Is(err, ErrNotFound) {
			_, err = f.CreateThingType(ctx, typ)
		}
		f.ok(err)
		got, err := f.propagatingTypes(ctx)
		f.ok(err)
		if len(got["x"]) != 1 || got["x"][0].Key != fmt.Sprint(i) {
			t.Fatalf("after change %d: %v", i, got)
		}
	}
	close(stop)
	wg.Wait()
}

package registry

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"
)

// clock is a time that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

type fixture struct {
	*Registry
	t      *testing.T
	clock  *clock
	events []Event
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	c := &clock{time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}
	ca, err := NewCA(&CAOptions{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(NewMemStore(), &Options{CA: ca, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{Registry: r, t: t, clock: c}
	r.Observe(func(_ context.Context, e Event) { f.events = append(f.events, e) })
	return f
}

func (f *fixture) ok(errs ...error) {
	f.t.Helper()
	if err := errors.Join(errs...); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) want(err, want error) {
	f.t.Helper()
	if !errors.Is(err, want) {
		f.t.Errorf("got error %v, want %v", err, want)
	}
}

func (f *fixture) thing(name string) Thing {
	f.t.Helper()
	t, err := f.CreateThing(f.t.Context(), Thing{Name: name})
	f.ok(err)
	return t
}

func (f *fixture) cert(status CertificateStatus) (Certificate, *x509.Certificate) {
	f.t.Helper()
	c, _, err := f.CreateKeysAndCertificate(f.t.Context(), &KeyOptions{Type: ECP256, Status: status, CommonName: "device"})
	f.ok(err)
	return c, parsePEM(f.t, c.PEM)
}

func parsePEM(t *testing.T, text string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func list[T any](t *testing.T, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var out []T
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func names(t *testing.T, seq iter.Seq2[Thing, error]) string {
	t.Helper()
	var out []string
	for _, v := range list(t, seq) {
		out = append(out, v.Name)
	}
	return strings.Join(out, " ")
}

// TestObserversAreToldWhenTheCallerHasLeft: what is committed is told with a context that is good for something.
func TestObserversAreToldWhenTheCallerHasLeft(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	told := 0
	f.Observe(func(ctx context.Context, e Event) {
		cancel()
		if told++; ctx.Err() != nil {
			t.Error(ctx.Err())
		}
	})
	if _, err := f.CreateThing(ctx, Thing{Name: "a"}); err != nil || told == 0 {
		t.Errorf("%v, told %d times", err, told)
	}
}

func TestThingLifecycle(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	made, err := f.CreateThing(ctx, Thing{Name: "lamp:1", Attributes: map[string]string{"a": "1", "b": "x/y"}})
	f.ok(err)
	if made.Version != 1 || len(made.ID) != 36 {
		t.Errorf("created %+v", made)
	}
	again, err := f.CreateThing(ctx, Thing{Name: "lamp:1", Attributes: map[string]string{"b": "x/y", "a": "1"}})
	f.ok(err)
	if again.ID != made.ID {
		t.Errorf("creating the same again gave another thing: %+v", again)
	}
	_, err = f.CreateThing(ctx, Thing{Name: "lamp:1"})
	f.want(err, ErrExists)
	_, err = f.UpdateThing(ctx, ThingUpdate{Name: "lamp:1", ExpectedVersion: 2})
	f.want(err, ErrVersionConflict)
	now, err := f.UpdateThing(ctx, ThingUpdate{Name: "lamp:1", ExpectedVersion: 1, Merge: true, Attributes: map[string]string{"a": "", "c": "3"}})
	f.ok(err)
	if fmt.Sprint(now.Attributes) != "map[b:x/y c:3]" || now.Version != 2 {
		t.Errorf("merged: %+v", now)
	}
	now, err = f.UpdateThing(ctx, ThingUpdate{Name: "lamp:1", Attributes: map[string]string{"z": "1"}})
	f.ok(err)
	if fmt.Sprint(now.Attributes) != "map[z:1]" || now.Version != 3 {
		t.Errorf("replaced: %+v", now)
	}
	_, err = f.UpdateThing(ctx, ThingUpdate{Name: "nobody"})
	f.want(err, ErrNotFound)
	f.want(f.DeleteThing(ctx, "lamp:1", 1), ErrVersionConflict)
	c, _ := f.cert(StatusActive)
	f.ok(f.AttachPrincipal(ctx, "lamp:1", c.ID))
	f.want(f.DeleteThing(ctx, "lamp:1", 0), ErrInvalid)
	f.ok(f.DetachPrincipal(ctx, "lamp:1", c.ID), f.DeleteThing(ctx, "lamp:1", 3), f.DeleteThing(ctx, "lamp:1", 0))
	_, err = f.Thing(ctx, "lamp:1")
	f.want(err, ErrNotFound)
	var rest []string
	for _, prefix := range []string{keyThing, keyByAttr, keyThingPrincipal, keyPrincipalThing} {
		rest = append(rest, list(t, f.Registry.names(ctx, prefix, ""))...)
	}
	if len(rest) > 0 {
		t.Errorf("left behind: %q", rest)
	}
}

func TestThingLimits(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	_, err := f.CreateThingType(ctx, ThingType{Name: "T"})
	f.ok(err)
	attrs := func(n, size int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprintf("a%d", i)] = strings.Repeat("x", size)
		}
		return m
	}
	for _, c := range []struct {
		name  string
		thing Thing
		want  error
	}{
		{"three attributes without type", Thing{Name: "a1", Attributes: attrs(3, 1)}, nil},
		{"four attributes without type", Thing{Name: "a2", Attributes: attrs(4, 1)}, ErrInvalid},
		{"fifty attributes with type", Thing{Name: "a3", Type: "T", Attributes: attrs(50, 900/2)}, nil},
		{"fifty-one attributes with type", Thing{Name: "a4", Type: "T", Attributes: attrs(51, 1)}, ErrInvalid},
		{"longest value", Thing{Name: "a5", Attributes: attrs(1, 800)}, nil},
		{"value too long", Thing{Name: "a6", Attributes: attrs(1, 801)}, ErrInvalid},
		{"space in a value", Thing{Name: "a7", Attributes: map[string]string{"a": "x y"}}, ErrInvalid},
		{"umlaut in a name", Thing{Name: "lämp"}, ErrInvalid},
		{"slash in a name", Thing{Name: "a/b"}, ErrInvalid},
		{"no name", Thing{}, ErrInvalid},
		{"longest name", Thing{Name: strings.Repeat("x", 128)}, nil},
		{"name too long", Thing{Name: strings.Repeat("x", 129)}, ErrInvalid},
		{"unknown type", Thing{Name: "a8", Type: "U"}, ErrNotFound},
	} {
		if _, err := f.CreateThing(ctx, c.thing); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", c.name, err, c.want)
		}
	}
	_, err = f.UpdateThing(ctx, ThingUpdate{Name: "a3", RemoveType: true})
	f.want(err, ErrInvalid)
	_, err = f.UpdateThing(ctx, ThingUpdate{Name: "a3", RemoveType: true, Type: "T"})
	f.want(err, ErrInvalid)
	if ie, ok := errors.AsType[*InvalidError](err); !ok || ie.Field != "removeThingType" {
		t.Errorf("the error does not name the field: %v", err)
	}
}

func TestThingQueries(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	_, err := f.CreateThingType(ctx, ThingType{Name: "Lamp"})
	f.ok(err)
	for _, name := range []string{"b", "bLamp"} {
		_, err := f.CreateBillingGroup(ctx, BillingGroup{Name: name})
		f.ok(err)
	}
	for i, room := range []string{"hall", "hall/1", "kitchen", "hall"} {
		typ := ""
		if i%2 == 0 {
			typ = "Lamp"
		}
		_, err := f.CreateThing(ctx, Thing{Name: fmt.Sprintf("t%d", i), Type: typ, Attributes: map[string]string{"room": room}, BillingGroup: "b" + typ})
		f.ok(err)
	}
	for _, c := range []struct {
		q    ThingQuery
		want string
	}{
		{ThingQuery{}, "t0 t1 t2 t3"},
		{ThingQuery{After: "t1"}, "t2 t3"},
		{ThingQuery{Type: "Lamp"}, "t0 t2"},
		{ThingQuery{Type: "Lamp", After: "t0"}, "t2"},
		{ThingQuery{Attribute: "room", Value: "hall"}, "t0 t3"},
		{ThingQuery{Attribute: "room", Value: "hall", After: "t0"}, "t3"},
		{ThingQuery{Attribute: "room", Value: "hall", Prefix: true}, "t1 t0 t3"},
		{ThingQuery{Attribute: "room", Value: "hall", Prefix: true, After: "t0"}, "t3"},
		{ThingQuery{Attribute: "room", Value: "hall", Prefix: true, After: "t1"}, "t0 t3"},
		{ThingQuery{Attribute: "room", Prefix: true, Type: "Lamp"}, "t0 t2"},
		{ThingQuery{Attribute: "floor"}, ""},
		{ThingQuery{BillingGroup: "b"}, "t1 t3"},
	} {
		if got := names(t, f.Things(ctx, c.q)); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.q, got, c.want)
		}
	}
	f.ok(f.SetBillingGroup(ctx, "t1", "bLamp"))
	if got := names(t, f.Things(ctx, ThingQuery{BillingGroup: "bLamp"})); got != "t0 t1 t2" {
		t.Errorf("billing group: %q", got)
	}
}

func TestThingTypes(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	_, err := f.CreateThingType(ctx, ThingType{Name: "T", Description: "d", Searchable: []string{"a"}})
	f.ok(err)
	_, err = f.CreateThingType(ctx, ThingType{Name: "T", Description: "other"})
	f.want(err, ErrExists)
	_, err = f.CreateThingType(ctx, ThingType{Name: "U", Searchable: []string{"a", "b", "c", "d"}})
	f.want(err, ErrInvalid)
	f.want(f.DeleteThingType(ctx, "T"), ErrInvalid)
	_, err = f.CreateThing(ctx, Thing{Name: "t", Type: "T"})
	f.ok(err)
	f.ok(f.DeprecateThingType(ctx, "T", false))
	_, err = f.CreateThing(ctx, Thing{Name: "t2", Type: "T"})
	f.want(err, ErrInvalid)
	f.clock.t = f.clock.t.Add(4*time.Minute + 59*time.Second)
	f.want(f.DeleteThingType(ctx, "T"), ErrInvalid) // too early
	f.clock.t = f.clock.t.Add(time.Second)
	f.want(f.DeleteThingType(ctx, "T"), ErrInvalid) // has a thing
	_, err = f.UpdateThing(ctx, ThingUpdate{Name: "t", RemoveType: true})
	f.ok(err)
	f.ok(f.DeprecateThingType(ctx, "T", true))
	_, err = f.UpdateThing(ctx, ThingUpdate{Name: "t", Type: "T"})
	f.ok(err, f.DeleteThing(ctx, "t", 0), f.DeprecateThingType(ctx, "T", false))
	f.clock.t = f.clock.t.Add(5 * time.Minute)
	f.ok(f.DeleteThingType(ctx, "T"))
	_, err = f.ThingType(ctx, "T")
	f.want(err, ErrNotFound)
}

func TestGroups(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	parent := ""
	for i := range 7 {
		name := fmt.Sprintf("g%d", i)
		g, err := f.CreateGroup(ctx, Group{Name: name}, parent)
		f.ok(err)
		if g.Root() != "g0" || g.Parent() != parent || len(g.Path) != i {
			t.Errorf("group %+v", g)
		}
		parent = name
	}
	_, err := f.CreateGroup(ctx, Group{Name: "g7"}, "g6")
	f.want(err, ErrInvalid)
	_, err = f.CreateGroup(ctx, Group{Name: "x"}, "nobody")
	f.want(err, ErrNotFound)
	_, err = f.CreateGroup(ctx, Group{Name: "g1"}, "")
	f.want(err, ErrExists)
	f.thing("t")
	f.ok(f.AddThingToGroup(ctx, "t", "g3"), f.AddThingToGroup(ctx, "t", "g3"))
	f.want(f.AddThingToGroup(ctx, "t", "g0"), ErrInvalid)
	for i := range 9 {
		_, err := f.CreateGroup(ctx, Group{Name: fmt.Sprintf("r%d", i)}, "")
		f.ok(err, f.AddThingToGroup(ctx, "t", fmt.Sprintf("r%d", i)))
	}
	_, err = f.CreateGroup(ctx, Group{Name: "r9"}, "")
	f.ok(err)
	f.want(f.AddThingToGroup(ctx, "t", "r9"), ErrInvalid)
	f.thing("s")
	f.ok(f.AddThingToGroup(ctx, "s", "g5"))
	if got := list(t, f.ThingsInGroup(ctx, "g0", true, "")); !slices.Equal(got, []string{"s", "t"}) {
		t.Errorf("recursive members: %q", got)
	}
	if got := list(t, f.ThingsInGroup(ctx, "g0", true, "s")); !slices.Equal(got, []string{"t"}) {
		t.Errorf("recursive members after s: %q", got)
	}
	if got := list(t, f.ThingsInGroup(ctx, "g0", false, "")); len(got) > 0 {
		t.Errorf("direct members: %q", got)
	}
	if got := list(t, f.Groups(ctx, GroupQuery{Parent: "g3", Recursive: true})); len(got) != 3 {
		t.Errorf("groups below g3: %v", got)
	}
	f.want(f.DeleteGroup(ctx, "g5", 0), ErrInvalid)
	u, err := f.UpdateGroup(ctx, GroupUpdate{Name: "g6", Attributes: map[string]string{"a": "b"}})
	f.ok(err)
	f.want(f.DeleteGroup(ctx, "g6", 1), ErrVersionConflict)
	f.ok(f.DeleteGroup(ctx, "g6", u.Version), f.DeleteGroup(ctx, "g5", 0), f.DeleteGroup(ctx, "g5", 0))
	s, err := f.Thing(ctx, "s")
	f.ok(err)
	if len(s.Groups) > 0 {
		t.Errorf("the group is gone and the thing still in it: %+v", s)
	}
	f.ok(f.RemoveThingFromGroup(ctx, "t", "g3"), f.DeleteThing(ctx, "t", 0))
	if left := list(t, f.Registry.names(ctx, keyMember, "")); len(left) > 0 {
		t.Errorf("memberships left: %q", left)
	}
}

func TestDeletedGroupDoesNotComeBackWithItsMembers(t *testing.T) {
	// The process dies after the group was deleted and before its members
	// were released.
	f := newFixture(t)
	ctx := t.Context()
	_, err := f.CreateGroup(ctx, Group{Name: "g"}, "")
	f.ok(err)
	f.thing("t")
	f.ok(f.AddThingToGroup(ctx, "t", "g"))
	g, err := f.Group(ctx, "g")
	f.ok(err)
	f.ok(f.update(ctx, func(x *tx) error {
		x.delete(keyGroup + "g")
		return x.put(keyReleased+"g", g)
	}))
	_, err = f.CreateGroup(ctx, Group{Name: "g"}, "")
	f.ok(err)
	if got := list(t, f.ThingsInGroup(ctx, "g", false, "")); len(got) > 0 {
		t.Errorf("the new group has members: %q", got)
	}
	v, err := f.Thing(ctx, "t")
	f.ok(err)
	if len(v.Groups) > 0 {
		t.Errorf("thing in %q", v.Groups)
	}
}

func TestEvents(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.ok(f.SetEventConfigurations(ctx, map[EventKind]bool{ThingEvents: true}))
	f.want(f.SetEventConfigurations(ctx, map[EventKind]bool{"NO": true}), ErrInvalid)
	_, err := f.CreateThingType(ctx, ThingType{Name: "T"})
	f.ok(err)
	_, err = f.CreateGroup(ctx, Group{Name: "p"}, "")
	f.ok(err)
	_, err = f.CreateGroup(ctx, Group{Name: "c", Description: "d"}, "p")
	f.ok(err)
	_, err = f.CreateThing(ctx, Thing{Name: "t", Type: "T"})
	f.ok(err, f.AddThingToGroup(ctx, "t", "c"), f.DeleteThing(ctx, "t", 0), f.DeleteGroup(ctx, "c", 0))
	var topics []string
	for _, e := range f.events {
		if e.Topic == "" {
			continue
		}
		topics = append(topics, strings.TrimPrefix(e.Topic, "$aws/events/"))
		if e.Enabled != (e.Kind == ThingEvents) {
			t.Errorf("%s enabled: %v", e.Topic, e.Enabled)
		}
		for _, want := range []string{`"eventType":"` + string(e.Kind) + `_EVENT"`, `"operation":"` + e.Operation + `"`,
			`"accountId":"123456789012"`, fmt.Sprintf(`"timestamp":%d`, f.clock.t.UnixMilli())} {
			if !bytes.Contains(e.Payload, []byte(want)) {
				t.Errorf("%s: %s lacks %s", e.Topic, e.Payload, want)
			}
		}
	}
	want := []string{"thingType/T/created", "thingGroup/p/created", "thingGroup/c/created",
		"thingGroupHierarchy/thingGroup/p/childThingGroup/c/added", "thing/t/created", "thingTypeAssociation/thing/t/thingType/T/added",
		"thingGroupMembership/thingGroup/c/thing/t/added", "thingGroupMembership/thingGroup/c/thing/t/removed", "thing/t/deleted",
		"thingTypeAssociation/thing/t/thingType/T/removed", "thingGroup/c/deleted", "thingGroupHierarchy/thingGroup/p/childThingGroup/c/removed"}
	if !slices.Equal(topics, want) {
		t.Errorf("got  %q\nwant %q", topics, want)
	}
}

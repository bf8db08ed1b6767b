package registry

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"
)

const document = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}`

// Tags are given at creation, changed, kept beside everything else that is
// known, and gone with what had them.
func TestTags(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	given := map[string]string{"owner": "ann"}
	ca, err := NewCA(nil)
	f.ok(err)
	ctxDynamic := func(tags map[string]string) error {
		_, err := f.CreateDynamicGroup(ctx, Group{Name: "d", Tags: tags}, "thingName:x")
		return err
	}
	var registered CACertificate
	for _, row := range []struct {
		resource string
		create   func(tags map[string]string) error
		remove   func() error
		update   func() error // something else
	}{
		{"thinggroup/g", func(tags map[string]string) error {
			_, err := f.CreateGroup(ctx, Group{Name: "g", Tags: tags}, "")
			return err
		}, func() error { return f.DeleteGroup(ctx, "g", 0) }, func() error {
			text := "other"
			_, err := f.UpdateGroup(ctx, GroupUpdate{Name: "g", Description: &text})
			return err
		}},
		{"thinggroup/d", ctxDynamic, func() error { return f.DeleteDynamicGroup(ctx, "d", 0) }, func() error {
			query := "thingName:y"
			_, err := f.UpdateDynamicGroup(ctx, GroupUpdate{Name: "d"}, &query)
			return err
		}},
		{"thingtype/y", func(tags map[string]string) error {
			_, err := f.CreateThingType(ctx, ThingType{Name: "y", Tags: tags})
			return err
		}, func() error {
			err := f.DeprecateThingType(ctx, "y", false)
			f.clock.t = f.clock.t.Add(time.Hour)
			return errors.Join(err, f.DeleteThingType(ctx, "y"))
		}, func() error {
			_, err := f.UpdateThingType(ctx, ThingType{Name: "y", Description: "other"})
			return err
		}},
		{"billinggroup/b", func(tags map[string]string) error {
			_, err := f.CreateBillingGroup(ctx, BillingGroup{Name: "b", Tags: tags})
			return err
		}, func() error { return f.DeleteBillingGroup(ctx, "b", 0) }, func() error {
			_, err := f.UpdateBillingGroup(ctx, "b", "other", 0)
			return err
		}},
		{"policy/p", func(tags map[string]string) error {
			_, err := f.CreateTaggedPolicy(ctx, "p", document, tags)
			return err
		}, func() error {
			return errors.Join(f.SetDefaultPolicyVersion(ctx, "p", "2"), f.DeletePolicyVersion(ctx, "p", "1"), f.DeletePolicy(ctx, "p"))
		}, func() error {
			_, err := f.CreatePolicyVersion(ctx, "p", document, true)
			return err
		}},
		{"cacert/" + CertificateID(ca.cert), func(tags map[string]string) (err error) {
			registered, err = f.RegisterCACertificate(ctx, CARegistration{PEM: ca.CertificatePEM(), Mode: "SNI_ONLY", Tags: tags})
			return err
		}, func() error { return f.DeleteCACertificate(ctx, registered.ID) }, func() error {
			return f.UpdateCACertificate(ctx, registered.ID, CAUpdate{AutoRegister: new(bool)})
		}},
		{"authorizer/a", func(tags map[string]string) error {
			_, err := f.CreateAuthorizer(ctx, Authorizer{Name: "a", Function: "arn:x", Unsigned: true, Tags: tags})
			return err
		}, func() error { return f.DeleteAuthorizer(ctx, "a") }, func() error {
			_, err := f.UpdateAuthorizer(ctx, "a", func(a *Authorizer) { a.TokenKey, a.Tags = "t", nil })
			return err
		}},
		{"rolealias/r", func(tags map[string]string) error {
			_, err := f.CreateRoleAlias(ctx, RoleAlias{Name: "r", Role: "arn:aws:iam::123456789012:role/x", Tags: tags})
			return err
		}, func() error { return f.DeleteRoleAlias(ctx, "r") }, func() error {
			_, err := f.UpdateRoleAlias(ctx, "r", "", time.Hour)
			return err
		}},
	} {
		t.Run(row.resource[:8], func(t *testing.T) {
			has := func(when, want string) {
				t.Helper()
				if tags, err := f.Tags(ctx, row.resource); fmt.Sprint(tags) != want || err != nil {
					t.Errorf("%s: %v, %v, want %s", when, tags, err, want)
				}
			}
			_, err := f.Tags(ctx, row.resource)
			f.want(err, ErrNotFound)
			f.want(f.ChangeTags(ctx, row.resource, func(map[string]string) error { return nil }), ErrNotFound)
			f.want(row.create(map[string]string{"aws:x": ""}), ErrInvalid)
			f.ok(row.create(given))
			has("at creation", "map[owner:ann]")
			f.ok(f.ChangeTags(ctx, row.resource, func(tags map[string]string) error { tags["site"] = "berlin"; return nil }))
			f.ok(row.update())
			has("after another change", "map[owner:ann site:berlin]")
			f.want(f.ChangeTags(ctx, row.resource, func(tags map[string]string) error { tags["?"] = ""; return nil }), ErrInvalid)
			f.want(f.ChangeTags(ctx, row.resource, func(tags map[string]string) error { clear(tags); return ErrLimit }), ErrLimit)
			has("after refusals", "map[owner:ann site:berlin]")
			f.ok(f.ChangeTags(ctx, row.resource, func(tags map[string]string) error { delete(tags, "owner"); return nil }))
			has("one removed", "map[site:berlin]")
			f.ok(f.ChangeTags(ctx, row.resource, func(tags map[string]string) error { clear(tags); return nil }))
			has("all removed", "map[]")
			f.ok(f.ChangeTags(ctx, row.resource, func(tags map[string]string) error { maps.Copy(tags, given); return nil }))
			f.ok(row.remove())
			_, err = f.Tags(ctx, row.resource)
			f.want(err, ErrNotFound)
			f.ok(row.create(nil))
			has("made anew", "map[]")
		})
	}
	for _, resource := range []string{"", "thing/x", "cert/x", "policy", "policy/", "policy/a/b", "policy/none/"} {
		_, err := f.Tags(ctx, resource)
		f.want(err, ErrInvalid)
	}
	f.want(func() error {
		_, err := f.CreateBillingGroup(ctx, BillingGroup{Name: "b", Tags: given})
		return err
	}(), ErrExists) // not the same: it has no tags
}

// Tags and other changes of one entry do not undo one another.
func TestTagsBesideOtherChanges(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	_, err := f.CreateBillingGroup(ctx, BillingGroup{Name: "b"})
	f.ok(err)
	const each = 20
	done := make(chan error)
	go func() {
		for i := range each {
			if _, err := f.UpdateBillingGroup(ctx, "b", fmt.Sprint(i), 0); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for i := range each {
		f.ok(f.ChangeTags(ctx, "billinggroup/b", func(tags map[string]string) error { tags[fmt.Sprint(i)] = "x"; return nil }))
	}
	f.ok(<-done)
	g, err := f.BillingGroup(ctx, "b")
	f.ok(err)
	if len(g.Tags) != each || g.Version != each+1 || g.Description != fmt.Sprint(each-1) {
		t.Errorf("%+v", g)
	}
}

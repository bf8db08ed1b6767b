package registry

import (
	"context"
	"iter"
)

// An Attachment joins a thing and a principal.
type Attachment struct {
	Thing     string `json:"thing"`
	Principal string `json:"principal"` // certificate ID or identity
	// Exclusive ties the principal to this thing alone; its client ID need
	// then not be the name of the thing.
	Exclusive bool `json:"exclusive,omitempty"`
}

// AttachPrincipal joins a thing and a principal, given as certificate ID or
// ARN or as an identity. Attaching twice is fine.
func (r *Registry) AttachPrincipal(ctx context.Context, thing, principal string) error {
	return r.attachPrincipal(ctx, Attachment{Thing: thing, Principal: r.principalName(principal)})
}

// AttachPrincipalExclusively is AttachPrincipal for a principal that is tied
// to this thing alone. If it has things already the error is ErrInvalid.
func (r *Registry) AttachPrincipalExclusively(ctx context.Context, thing, principal string) error {
	return r.attachPrincipal(ctx, Attachment{Thing: thing, Principal: r.principalName(principal), Exclusive: true})
}

func (r *Registry) attachPrincipal(ctx context.Context, a Attachment) error {
	if err := checkPrincipal(a.Principal); err != nil {
		return err
	}
	return r.update(ctx, func(x *tx) error {
		if _, err := x.thing(a.Thing); err != nil {
			return err
		}
		x.relax(keyThing + a.Thing)
		if err := x.mustExist(target{name: a.Principal}); err != nil {
			return err
		}
		principal := escape(a.Principal)
		var tied string
		exclusive, err := x.get(keyExclusive+principal, &tied)
		if err != nil {
			return err
		}
		if exclusive && (tied != a.Thing || !a.Exclusive) {
			return invalid("principal", "is tied to the thing %s exclusively", tied)
		}
		key := keyThingPrincipal + a.Thing + "/" + principal
		found, err := x.get(key, nil)
		if err != nil || found && a.Exclusive == exclusive {
			return err
		}
		if a.Exclusive {
			free, err := x.needEmpty(keyPrincipalThing + principal + "/")
			if err != nil {
				return err
			}
			if !free {
				return invalid("thingPrincipalType", "cannot be EXCLUSIVE_THING: the principal has things attached")
			}
			if err := x.put(keyExclusive+principal, a.Thing); err != nil {
				return err
			}
		}
		if err := x.put(keyPrincipalThing+principal+"/"+a.Thing, a); err != nil {
			return err
		}
		x.accessChanged(ThingEvents, "UPDATED", a.Thing, a.Principal, "")
		return x.put(key, a)
	})
}

// DetachPrincipal undoes AttachPrincipal. It is fine if they are not joined.
func (r *Registry) DetachPrincipal(ctx context.Context, thing, principal string) error {
	principal = r.principalName(principal)
	return r.update(ctx, func(x *tx) error {
		if _, err := x.thing(thing); err != nil {
			return err
		}
		x.relax(keyThing + thing)
		return x.detach(Attachment{Thing: thing, Principal: principal})
	})
}

func (t *tx) detach(a Attachment) error {
	principal := escape(a.Principal)
	key := keyThingPrincipal + a.Thing + "/" + principal
	if found, err := t.get(key, &a); err != nil || !found {
		return err
	}
	t.delete(key)
	t.delete(keyPrincipalThing + principal + "/" + a.Thing)
	if a.Exclusive {
		t.delete(keyExclusive + principal)
	}
	t.accessChanged(ThingEvents, "UPDATED", a.Thing, a.Principal, "")
	return nil
}

// detachThings detaches every thing from a principal that is going away.
func (t *tx) detachThings(principal string) error {
	for thing, err := range t.r.names(t.ctx, keyPrincipalThing+escape(principal)+"/", "") {
		if err == nil {
			err = t.detach(Attachment{Thing: thing, Principal: principal})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ThingPrincipals yields the attachments of the thing whose principals come
// after the given one, in order.
func (r *Registry) ThingPrincipals(ctx context.Context, thing, after string) iter.Seq2[Attachment, error] {
	return func(yield func(Attachment, error) bool) {
		if _, err := r.Thing(ctx, thing); err != nil {
			yield(Attachment{}, err)
			return
		}
		scan[Attachment](ctx, r, keyThingPrincipal+thing+"/", escape(r.principalName(after)))(yield)
	}
}

// PrincipalThings yields the attachments of the principal whose things come
// after the given one, in order.
func (r *Registry) PrincipalThings(ctx context.Context, principal, after string) iter.Seq2[Attachment, error] {
	return scan[Attachment](ctx, r, keyPrincipalThing+escape(r.principalName(principal))+"/", after)
}

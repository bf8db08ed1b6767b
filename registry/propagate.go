package registry

import (
	"context"
	"sync/atomic"
)

// A UserProperty is a name with a value, as MQTT 5 messages have them.
type UserProperty struct{ Name, Value string }

// propagation is which types have propagating attributes, as of a generation.
type propagation struct {
	gen   atomic.Uint64 // one more for each change of a type
	types atomic.Pointer[propagatingTypes]
}

type propagatingTypes struct {
	gen    uint64
	byName map[string][]PropagatingAttribute // none of types without
}

// Propagated returns the user properties that a message gets which a connection
// of the principal with the client ID publishes: the propagating attributes of
// the type of the thing that it acts as, in their order. An attribute that the
// thing does not have is left out. It is nil for most, and then costs two looks
// into memory.
func (r *Registry) Propagated(ctx context.Context, principal, clientID string) ([]UserProperty, error) {
	types, err := r.propagatingTypes(ctx)
	if err != nil || len(types) == 0 {
		return nil, err
	}
	_, t, err := r.stateFor(ctx, principal, clientID)
	if err != nil || t == nil {
		return nil, err
	}
	var out []UserProperty
	for _, a := range types[t.thing.Type] {
		value := t.thing.Attributes[a.Thing]
		switch a.Connection {
		case "iot:ClientId":
			value = clientID
		case "iot:Thing.ThingName":
			value = t.thing.Name
		}
		if value != "" {
			out = append(out, UserProperty{a.Key, value})
		}
	}
	return out, nil
}

func (r *Registry) propagatingTypes(ctx context.Context) (map[string][]PropagatingAttribute, error) {
	gen := r.propagation.gen.Load()
	if known := r.propagation.types.Load(); known != nil && known.gen == gen {
		return known.byName, nil
	}
	return r.readPropagatingTypes(ctx, gen)
}

// readPropagatingTypes is apart as its variables are on the heap, and the above is asked for each message.
func (r *Registry) readPropagatingTypes(ctx context.Context, gen uint64) (map[string][]PropagatingAttribute, error) {
	found := map[string][]PropagatingAttribute{}
	for t, err := range r.ThingTypes(ctx, "") {
		if err != nil {
			return nil, err
		}
		if len(t.Propagating) > 0 {
			found[t.Name] = t.Propagating
		}
	}
	// Of a generation that has passed meanwhile it is not asked.
	r.propagation.types.Store(&propagatingTypes{gen, found})
	return found, nil
}

package table

import (
	"context"
	"errors"
	"fmt"

	"github.com/thingloom/thingloom/actions"
)

// Params are the parameters of the action.
type Params struct {
	Table     actions.Template `json:"table" required:"true" doc:"name of the table"`
	Key       actions.Template `json:"key" required:"true" doc:"key of the item"`
	Sort      actions.Template `json:"sort" doc:"sort key of the item; by default none"`
	Operation string           `json:"operation" default:"INSERT" doc:"INSERT (replaces), UPDATE (the same) or DELETE"`
}

// Spec returns the plugin. Writing again what was written is harmless, so that
// delivery at least once ends in one item.
func Spec(t *Tables) actions.Spec {
	return actions.NewSpec("table", "put the payload into a table", func(_ context.Context, p *Params) (actions.Action, error) {
		switch p.Operation {
		case "", "INSERT", "UPDATE", "DELETE":
		default:
			return nil, &actions.ParamError{Path: "operation", Err: fmt.Errorf("%q is none of INSERT, UPDATE, DELETE", p.Operation)}
		}
		return &action{t, p}, nil
	})
}

type action struct {
	tables *Tables
	params *Params
}

var _ actions.Action = (*action)(nil)

func (a *action) Do(ctx context.Context, r *actions.Request) error {
	name, err1 := a.params.Table.Expand(ctx, r)
	key, err2 := a.params.Key.Expand(ctx, r)
	sort, err3 := a.params.Sort.Expand(ctx, r)
	err := errors.Join(err1, err2, err3)
	switch {
	case err != nil:
	case a.params.Operation == "DELETE":
		err = a.tables.Delete(ctx, name, key, sort)
	default:
		err = a.tables.Put(ctx, name, key, sort, r.Payload)
	}
	if errors.Is(err, ErrInvalid) {
		err = actions.Permanent(err)
	}
	return actions.WithResource(err, name)
}

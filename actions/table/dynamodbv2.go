package table

import (
	"context"
	"errors"

	"github.com/thingloom/thingloom/actions"
)

// DynamoDBv2Params are the parameters of the dynamoDBv2 action of AWS IoT.
type DynamoDBv2Params struct {
	PutItem struct {
		TableName actions.Template `json:"tableName" required:"true" doc:"name of the table, which must have a key schema"`
	} `json:"putItem" required:"true" doc:"where to"`
	RoleARN actions.RoleARN `json:"roleArn" required:"true" doc:"kept with the rule; nobody assumes it"`
}

// DynamoDBv2Spec returns the plugin "dynamoDBv2": the action of AWS IoT with
// its parameters, over Tables, so that rules can be copied. The payload, a JSON
// object, is the item: each of its members a column, the table's keys among
// them. It replaces the item that is there.
//
// A payload that is no object or lacks a key fails for good, and so does a
// table without a schema (see Tables.CreateTable).
func DynamoDBv2Spec(t *Tables) actions.Spec {
	return actions.NewSpec("dynamoDBv2", "put the payload into a table, each member a column", func(_ context.Context, p *DynamoDBv2Params) (actions.Action, error) {
		if name, constant := p.PutItem.TableName.Constant(); constant {
			if err := check(name, "any", ""); err != nil {
				return nil, &actions.ParamError{Path: "putItem.tableName", Err: err}
			}
		}
		return actions.Func(func(ctx context.Context, r *actions.Request) error {
			name, err := p.PutItem.TableName.Expand(ctx, r)
			if err == nil {
				err = t.PutItem(ctx, name, r.Payload)
			}
			if errors.Is(err, ErrInvalid) || errors.Is(err, ErrNotFound) {
				err = actions.Permanent(err)
			}
			return actions.WithResource(err, name)
		}), nil
	})
}

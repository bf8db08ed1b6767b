package table

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/thingloom/thingloom/actions"
)

// DynamoDBParams are the parameters of the dynamoDB action of AWS IoT.
type DynamoDBParams struct {
	TableName     actions.Template `json:"tableName" required:"true" doc:"name of the table"`
	HashKeyField  actions.Template `json:"hashKeyField" required:"true" doc:"member of the item that holds the key"`
	HashKeyType   actions.Template `json:"hashKeyType" default:"STRING" doc:"STRING or NUMBER"`
	HashKeyValue  actions.Template `json:"hashKeyValue" required:"true" doc:"key of the item"`
	RangeKeyField actions.Template `json:"rangeKeyField" doc:"member of the item that holds the sort key"`
	RangeKeyType  actions.Template `json:"rangeKeyType" default:"STRING" doc:"STRING or NUMBER"`
	RangeKeyValue actions.Template `json:"rangeKeyValue" doc:"sort key of the item"`
	PayloadField  actions.Template `json:"payloadField" default:"payload" doc:"member of the item that holds the payload: as JSON, or in base64 if it is none"`
	Operation     actions.Template `json:"operation" default:"INSERT" doc:"INSERT (replaces), UPDATE (sets these members and keeps others) or DELETE"`
	RoleARN       actions.RoleARN  `json:"roleArn" required:"true" doc:"kept with the rule; nobody assumes it"`
}

// DynamoDBSpec returns the plugin "dynamoDB": the action of AWS IoT with its
// parameters, over Tables, so that rules can be copied. The payload goes into
// one member of the item, beside its keys. Sort keys of type NUMBER are
// ordered as the text they are.
//
// The first item gives a table the schema that the parameters say, so that
// dynamoDBv2 may write it as well; a table that has another schema fails the
// action for good.
func DynamoDBSpec(t *Tables) actions.Spec {
	return actions.NewSpec("dynamoDB", "put the payload into one member of a table's item", func(_ context.Context, p *DynamoDBParams) (actions.Action, error) {
		for _, param := range []struct {
			path  string
			text  actions.Template
			check func(string) error
		}{
			{"tableName", p.TableName, func(name string) error { return check(name, "any", "") }},
			{"hashKeyType", p.HashKeyType, checkType}, {"rangeKeyType", p.RangeKeyType, checkType}, {"operation", p.Operation, checkOperation},
		} {
			if text, constant := param.text.Constant(); constant {
				if err := param.check(text); err != nil {
					return nil, &actions.ParamError{Path: param.path, Err: err}
				}
			}
		}
		if p.HashKeyField.String() == "" {
			return nil, &actions.ParamError{Path: "hashKeyField", Err: errors.New("empty")}
		}
		if (p.RangeKeyField.String() == "") != (p.RangeKeyValue.String() == "") {
			return nil, &actions.ParamError{Path: "rangeKeyField", Err: errors.New("comes with rangeKeyValue, or neither does")}
		}
		return &dynamoDB{t, p}, nil
	})
}

func checkType(typ string) error {
	switch typ {
	case "", String, Number:
		return nil
	}
	return fmt.Errorf("%q is neither STRING nor NUMBER", typ)
}

func checkOperation(op string) error {
	switch op {
	case "", "INSERT", "UPDATE", "DELETE":
		return nil
	}
	return fmt.Errorf("%q is none of INSERT, UPDATE, DELETE", op)
}

type dynamoDB struct {
	tables *Tables
	params *DynamoDBParams
}

var _ actions.Action = (*dynamoDB)(nil)

func (a *dynamoDB) Do(ctx context.Context, r *actions.Request) error {
	name, err := a.params.TableName.Expand(ctx, r)
	if err == nil {
		err = a.do(ctx, r, name)
	}
	if errors.Is(err, ErrInvalid) || errors.Is(err, ErrExists) {
		err = actions.Permanent(err)
	}
	return actions.WithResource(err, name)
}

// write is what one request is to do.
type write struct {
	schema             Schema
	key, sort          string // as the message has them
	payloadField, what string
}

// expand evaluates the parameters on a request.
func (p *DynamoDBParams) expand(ctx context.Context, r *actions.Request) (w write, err error) {
	for _, param := range []struct {
		text actions.Template
		to   *string
	}{
		{p.HashKeyField, &w.schema.HashKey.Name}, {p.HashKeyType, &w.schema.HashKey.Type}, {p.HashKeyValue, &w.key},
		{p.RangeKeyField, &w.schema.RangeKey.Name}, {p.RangeKeyType, &w.schema.RangeKey.Type}, {p.RangeKeyValue, &w.sort},
		{p.PayloadField, &w.payloadField}, {p.Operation, &w.what},
	} {
		if *param.to, err = param.text.Expand(ctx, r); err != nil {
			return w, err
		}
	}
	if w.schema.RangeKey.Name == "" {
		if p.RangeKeyField.String() != "" {
			return w, fmt.Errorf("%w schema: rangeKeyField is empty after substitution", ErrInvalid)
		}
		w.schema.RangeKey.Type = ""
	}
	if err := checkOperation(w.what); err != nil {
		return w, fmt.Errorf("%w: operation %w", ErrInvalid, err)
	}
	w.payloadField = cmp.Or(w.payloadField, "payload")
	return w, w.schema.check()
}

func (a *dynamoDB) do(ctx context.Context, r *actions.Request, table string) error {
	w, err := a.params.expand(ctx, r)
	if err != nil {
		return err
	}
	members := map[string]json.RawMessage{w.payloadField: payloadJSON(r.Payload)}
	key, err := w.schema.HashKey.put(members, w.key)
	sort := ""
	if err == nil && w.schema.RangeKey.Name != "" {
		sort, err = w.schema.RangeKey.put(members, w.sort)
	}
	if err != nil {
		return err
	}
	if err := a.tables.CreateTable(ctx, table, w.schema); err != nil {
		return err
	}
	if w.what == "DELETE" {
		return a.tables.Delete(ctx, table, key, sort)
	}
	return a.tables.Update(ctx, table, key, sort, func(old json.RawMessage) (json.RawMessage, error) {
		item := map[string]json.RawMessage{}
		if w.what == "UPDATE" && old != nil {
			if err := json.Unmarshal(old, &item); err != nil {
				return nil, err
			}
		}
		maps.Copy(item, members)
		return json.Marshal(item)
	})
}

// payloadJSON is the payload itself, or its base64 as a JSON string.
func payloadJSON(payload []byte) json.RawMessage {
	if json.Valid(payload) {
		return payload
	}
	text, _ := json.Marshal(payload) // bytes cannot fail
	return text
}

// put gives the members of an item the key, and returns it as rows are stored under it.
func (a Attribute) put(members map[string]json.RawMessage, value string) (key string, err error) {
	if value == "" {
		return "", fmt.Errorf("%w key: %q is empty after substitution", ErrInvalid, a.Name)
	}
	if a.Type == Number {
		key, err = numberKey(value)
		members[a.Name] = json.RawMessage(key)
		return key, err
	}
	members[a.Name], err = json.Marshal(value)
	return value, err
}

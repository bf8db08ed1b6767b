package table

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/thingloom/thingloom/actions"
)

// DynamoDBParams are the parameters of the dynamoDB action of AWS IoT.
type DynamoDBParams struct {
	TableName     string           `json:"tableName" required:"true" doc:"name of the table"`
	HashKeyField  string           `json:"hashKeyField" required:"true" doc:"member of the item that holds the key"`
	HashKeyType   string           `json:"hashKeyType" default:"STRING" doc:"STRING or NUMBER"`
	HashKeyValue  actions.Template `json:"hashKeyValue" required:"true" doc:"key of the item"`
	RangeKeyField string           `json:"rangeKeyField" doc:"member of the item that holds the sort key"`
	RangeKeyType  string           `json:"rangeKeyType" default:"STRING" doc:"STRING or NUMBER"`
	RangeKeyValue actions.Template `json:"rangeKeyValue" doc:"sort key of the item"`
	PayloadField  actions.Template `json:"payloadField" default:"payload" doc:"member of the item that holds the payload: as JSON, or in base64 if it is none"`
	Operation     actions.Template `json:"operation" default:"INSERT" doc:"INSERT (replaces), UPDATE (sets these members and keeps others) or DELETE"`
	RoleARN       string           `json:"roleArn" doc:"accepted and ignored"`
}

// DynamoDBSpec returns the plugin "dynamoDB": the action of AWS IoT with its
// parameters, over Tables, so that rules can be copied. The payload goes into
// one member of the item, beside its keys. Sort keys of type NUMBER are
// ordered as the text they are.
func DynamoDBSpec(t *Tables) actions.Spec {
	return actions.NewSpec("dynamoDB", "put the payload into one member of a table's item", func(_ context.Context, p *DynamoDBParams) (actions.Action, error) {
		for _, typ := range []struct{ path, text string }{{"hashKeyType", p.HashKeyType}, {"rangeKeyType", p.RangeKeyType}} {
			if typ.text != "" && typ.text != "STRING" && typ.text != "NUMBER" {
				return nil, &actions.ParamError{Path: typ.path, Err: fmt.Errorf("%q is neither STRING nor NUMBER", typ.text)}
			}
		}
		if p.HashKeyField == "" {
			return nil, &actions.ParamError{Path: "hashKeyField", Err: errors.New("empty")}
		}
		if (p.RangeKeyField == "") != (p.RangeKeyValue.String() == "") {
			return nil, &actions.ParamError{Path: "rangeKeyField", Err: errors.New("comes with rangeKeyValue, or neither does")}
		}
		if op, constant := p.Operation.Constant(); constant {
			if err := checkOperation(op); err != nil {
				return nil, &actions.ParamError{Path: "operation", Err: err}
			}
		}
		return &dynamoDB{t, p}, nil
	})
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
	return actions.WithResource(a.do(ctx, r), a.params.TableName)
}

func (a *dynamoDB) do(ctx context.Context, r *actions.Request) error {
	p := a.params
	key, err1 := p.HashKeyValue.Expand(ctx, r)
	sort, err2 := p.RangeKeyValue.Expand(ctx, r)
	field, err3 := p.PayloadField.Expand(ctx, r)
	op, err4 := p.Operation.Expand(ctx, r)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	if field == "" {
		field = "payload"
	}
	err := checkOperation(op)
	if err != nil {
		return actions.Permanent(fmt.Errorf("dynamoDB: operation %w", err))
	}
	members := map[string]json.RawMessage{field: payloadJSON(r.Payload)}
	members[p.HashKeyField], err = keyJSON(p.HashKeyType, key)
	if err == nil && p.RangeKeyField != "" {
		members[p.RangeKeyField], err = keyJSON(p.RangeKeyType, sort)
	}
	if err != nil {
		return actions.Permanent(fmt.Errorf("dynamoDB: %w", err))
	}
	if op == "DELETE" {
		err = a.tables.Delete(ctx, p.TableName, key, sort)
	} else {
		err = a.tables.Update(ctx, p.TableName, key, sort, func(old json.RawMessage) (json.RawMessage, error) {
			item := map[string]json.RawMessage{}
			if op == "UPDATE" && old != nil {
				if err := json.Unmarshal(old, &item); err != nil {
					return nil, err
				}
			}
			for name, value := range members {
				item[name] = value
			}
			return json.Marshal(item)
		})
	}
	if errors.Is(err, ErrInvalid) {
		return actions.Permanent(err)
	}
	return err
}

// payloadJSON is the payload itself, or its base64 as a JSON string.
func payloadJSON(payload []byte) json.RawMessage {
	if json.Valid(payload) {
		return payload
	}
	text, _ := json.Marshal(payload) // bytes cannot fail
	return text
}

// keyJSON is a key as a member of the item.
func keyJSON(typ, key string) (json.RawMessage, error) {
	if key == "" {
		return nil, errors.New("a key is empty after substitution")
	}
	if typ != "NUMBER" {
		return json.Marshal(key)
	}
	// JSON's numbers, not Go's: no hexadecimal, no infinity.
	if !json.Valid([]byte(key)) || strings.ContainsAny(key[:1], `"{[tfn`) {
		return nil, fmt.Errorf("key %.100q is no number", key)
	}
	if _, _, err := big.ParseFloat(key, 10, 64, big.ToNearestEven); err != nil {
		return nil, fmt.Errorf("key %.100q: %w", key, err)
	}
	return json.RawMessage(strings.TrimSpace(key)), nil
}

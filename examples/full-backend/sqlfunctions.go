package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/thingloom/thingloom/actions/function"
	"github.com/thingloom/thingloom/actions/table"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/rules"
	"github.com/thingloom/thingloom/shadow"
)

// functionsOfSQL answers the functions of rule SQL that ask the outside. What
// is not answered here fails the rule when it is put: that is
// decode(.., 'proto', ..), which needs protobuf and with it another module. In
// a program of your own it is one line here,
//
//	Proto: rulesproto.New("descriptors").Decode, // contrib/rulesproto
//
// and its example shows an engine with it.
func (b *backend) functionsOfSQL() *rules.Funcs {
	funcs := &rules.Funcs{
		Lambda: func(ctx context.Context, arn string, input json.RawMessage) (json.RawMessage, error) {
			return b.functions.Invoke(ctx, function.NameOf(arn), input)
		},
		Shadow: func(ctx context.Context, thing, name, _ string) (json.RawMessage, error) {
			doc, err := b.shadows.Get(ctx, shadow.Ref{Thing: thing, Name: name})
			if err != nil {
				return nil, err
			}
			return doc.Answer(b.shadows.Now(), "")
		},
		Registry: func(ctx context.Context, api, thing, _ string) (json.RawMessage, error) {
			t, err := b.registry.Thing(ctx, thing)
			if err != nil {
				return nil, err
			}
			switch api {
			case "DescribeThing":
				return json.Marshal(b.describeThing(t))
			case "ListThingGroupsForThing":
				return json.Marshal(b.groupsOfThing(t))
			}
			return nil, fmt.Errorf("get_registry_data: %w: %q", errors.ErrUnsupported, api)
		},
		// A key may be a text or a number; an item that is not there is Undefined.
		DynamoDB: func(ctx context.Context, q rules.TableQuery) (json.RawMessage, error) {
			item, err := b.tables.Get(ctx, q.Table, keyText(q.PartitionValue), keyText(q.SortValue))
			if errors.Is(err, table.ErrNotFound) {
				return nil, nil
			}
			return item, err
		},
		// A model is a function, invoked with the record.
		Predict: func(ctx context.Context, model, _ string, record json.RawMessage) (json.RawMessage, error) {
			answer, err := b.functions.Invoke(ctx, function.NameOf(model), record)
			if err == nil && !bytes.HasPrefix(bytes.TrimSpace(answer), []byte("{")) {
				err = fmt.Errorf("machinelearning_predict: %s answered %.100s, which is no object", model, answer)
			}
			return answer, err
		},
	}
	if dir := b.cfg.Secrets; dir != "" {
		funcs.Secret = func(_ context.Context, id, kind, key, _ string) (json.RawMessage, error) {
			return readSecret(dir, id, kind, key)
		}
	}
	return funcs
}

// nameOf is the last part of an ARN, as in arn:aws:secretsmanager:us-east-1:1:secret:api, or the name that stands for it.
func nameOf(arn string) string { return arn[strings.LastIndexByte(arn, ':')+1:] }

// keyText is a key as tables have it.
func keyText(v json.RawMessage) string {
	var text string
	if json.Unmarshal(v, &text) == nil {
		return text
	}
	return string(v)
}

// A thingDescription is what DescribeThing answers.
type thingDescription struct {
	ClientID   string            `json:"defaultClientId"`
	Name       string            `json:"thingName"`
	ID         string            `json:"thingId"`
	ARN        string            `json:"thingArn"`
	Type       string            `json:"thingTypeName,omitempty"`
	Attributes map[string]string `json:"attributes"`
	Version    int64             `json:"version"`
	Billing    string            `json:"billingGroupName,omitempty"`
}

func (b *backend) describeThing(t registry.Thing) thingDescription {
	d := thingDescription{t.Name, t.Name, t.ID, b.registry.ARN("thing/" + t.Name), t.Type, t.Attributes, t.Version, t.BillingGroup}
	if d.Attributes == nil {
		d.Attributes = map[string]string{}
	}
	return d
}

// A thingGroups is what ListThingGroupsForThing answers.
type thingGroups struct {
	Groups []nameAndARN `json:"thingGroups"`
}

type nameAndARN struct {
	Name string `json:"groupName"`
	ARN  string `json:"groupArn"`
}

func (b *backend) groupsOfThing(t registry.Thing) thingGroups {
	g := thingGroups{Groups: []nameAndARN{}}
	for _, name := range t.Groups {
		g.Groups = append(g.Groups, nameAndARN{name, b.registry.ARN("thinggroup/" + name)})
	}
	return g
}

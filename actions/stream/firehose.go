package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/thingloom/thingloom/actions"
)

// An AllPutter is the part of a stream that delivery streams need.
// *telemetry.Stream has it.
type AllPutter interface {
	// PutAll returns once all values are durable, in their order.
	PutAll(ctx context.Context, key string, t time.Time, values [][]byte) error
}

// FirehoseParams are the parameters of the firehose action of AWS IoT.
type FirehoseParams struct {
	DeliveryStreamName actions.Template `json:"deliveryStreamName" required:"true" doc:"name of the delivery stream"`
	Separator          string           `json:"separator" doc:"what ends each record: a comma, a tab, a line break, or carriage return and line break; by default nothing"`
	BatchMode          bool             `json:"batchMode" doc:"a payload that is an array is a record for each of its elements, at most 500"`
	RoleARN            actions.RoleARN  `json:"roleArn" required:"true" doc:"kept with the rule; nobody assumes it"`
}

// maxBatchRecords is the limit of PutRecordBatch.
const maxBatchRecords = 500

// FirehoseSpec returns the plugin "firehose": the action of AWS IoT with its
// parameters, over delivery streams by their names, so that rules can be
// copied. A record is the payload, whatever it is, and the separator after it;
// what a delivery stream makes of its records, as files of them one after the
// other, is the program's business. It runs inline, as Spec does: records of
// one delivery stream keep the order in which their publishers were
// acknowledged.
//
// With batchMode the payload is JSON: an array is a record for each element,
// and none if it is empty; anything else is one record. Our choice: the service
// does not say what happens to the latter.
func FirehoseSpec(streams map[string]AllPutter, opts *Options) actions.Spec {
	refused := opts.refused()
	s := actions.NewSpec("firehose", "put the payload into a delivery stream", func(_ context.Context, p *FirehoseParams) (actions.Action, error) {
		switch p.Separator {
		case "", ",", "\t", "\n", "\r\n":
		default:
			return nil, &actions.ParamError{Path: "separator", Err: fmt.Errorf("%q is none of \",\", \"\\t\", \"\\n\", \"\\r\\n\"", p.Separator)}
		}
		if err := checkName("deliveryStreamName", p.DeliveryStreamName, streams); err != nil {
			return nil, err
		}
		return actions.Func(func(ctx context.Context, r *actions.Request) error {
			to, err := p.DeliveryStreamName.Expand(ctx, r)
			if err == nil {
				err = p.deliver(ctx, streams, to, r, refused)
			}
			return actions.WithResource(err, to)
		}), nil
	})
	s.Inline = true
	return s
}

func (p *FirehoseParams) deliver(ctx context.Context, streams map[string]AllPutter, to string, r *actions.Request, refused func(error) bool) error {
	stream, err := find(streams, to)
	if err != nil {
		return actions.Permanent(err)
	}
	values := [][]byte{r.Payload}
	if p.BatchMode {
		if values, err = elements(r.Payload); err != nil {
			return actions.Permanent(fmt.Errorf("firehose: batchMode: %w", err))
		}
	}
	if p.Separator != "" {
		for i, value := range values {
			values[i] = append(bytes.Clone(value), p.Separator...)
		}
	}
	// One key, so that what is put in order stays so.
	return put(stream.PutAll(ctx, to, r.Time, values), "firehose", refused)
}

// elements are the elements of an array, or the value itself.
func elements(payload []byte) (values [][]byte, err error) {
	if !json.Valid(payload) {
		return nil, errors.New("the payload is not JSON")
	}
	if text := bytes.TrimLeft(payload, " \t\r\n"); text[0] != '[' {
		return [][]byte{payload}, nil
	}
	var all []json.RawMessage
	if err := json.Unmarshal(payload, &all); err != nil {
		return nil, err
	}
	if len(all) > maxBatchRecords {
		return nil, fmt.Errorf("the array has %d elements, at most %d are allowed", len(all), maxBatchRecords)
	}
	for _, one := range all {
		values = append(values, one)
	}
	return values, nil
}

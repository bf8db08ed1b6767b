package main

import (
	"context"
	"errors"
	"time"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/bucket"
	"github.com/thingloom/thingloom/actions/function"
	actionlog "github.com/thingloom/thingloom/actions/log"
	"github.com/thingloom/thingloom/actions/notify"
	"github.com/thingloom/thingloom/actions/republish"
	"github.com/thingloom/thingloom/actions/stream"
	"github.com/thingloom/thingloom/actions/table"
	"github.com/thingloom/thingloom/actions/webhook"
	"github.com/thingloom/thingloom/telemetry"
)

// catalog is what rules can do: our own actions, and under their AWS names
// those of AWS IoT that something here answers. docs/aws-actions.md has a row
// for each.
func (b *backend) catalog() (*actions.Catalog, error) {
	roles, err := loadRoles(b.cfg.Roles)
	if err != nil {
		return nil, err
	}
	topics := snsTopics{notifier: b.notifier}
	if b.cfg.NotifyURL != "" {
		if topics.push, err = notify.NewServer(&notify.Options{URL: b.cfg.NotifyURL}); err != nil {
			return nil, err
		}
	}
	streams, deliveries := map[string]stream.Putter{}, map[string]stream.AllPutter{}
	for name, s := range b.pipeline.streams {
		streams[name] = s
	}
	for name, s := range b.pipeline.deliveries {
		deliveries[name] = s
	}
	records := &stream.Options{Refused: func(err error) bool { return errors.Is(err, telemetry.ErrInvalidRecord) }}
	return actions.NewCatalog(
		function.Spec(b.functions),
		table.Spec(b.tables),
		webhook.Spec(&webhook.Options{Sign: roles.sign}),
		notify.Spec(&notify.Options{URL: b.cfg.NotifyURL}),
		actionlog.Spec(b.log, nil),
		stream.Spec(b.pipeline.telemetry, records),

		republish.Spec(publisher{b.broker}),
		webhook.HTTPSpec(&webhook.Options{Sign: roles.sign}),
		function.LambdaSpec(b.functions),
		table.DynamoDBSpec(b.tables),
		table.DynamoDBv2Spec(b.tables),
		stream.KinesisSpec(streams, records),
		stream.FirehoseSpec(deliveries, records),
		stream.CloudWatchMetricSpec(b.pipeline.streams[cloudWatchStream], records),
		actionlog.CloudWatchSpec(b.log, nil),
		notify.SNSSpec(topics),
		bucket.Spec(b.pipeline.bucket, &bucket.Options{Refused: func(err error) bool { return errors.Is(err, telemetry.ErrInvalidName) }}),
	)
}

// snsTopics are the topics of the action sns: what is published there is a
// notification of the page, and goes to the push server if there is one.
type snsTopics struct {
	notifier *notifier
	push     *notify.Server // nil without a push server
}

func (s snsTopics) Publish(ctx context.Context, topic, message, id string) error {
	if s.push != nil {
		if err := s.push.Publish(ctx, topic, message, id); err != nil {
			return err
		}
	}
	return s.notifier.keep(ctx, topic+"/"+id, notification{Thing: topic, Message: message, Time: time.Now().UnixMilli()})
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sync/errgroup"

	"github.com/thingloom/thingloom/actions/table"
	"github.com/thingloom/thingloom/telemetry"
	"github.com/thingloom/thingloom/telemetry/telemetrypebble"
)

// A pipeline is scenario 3: a stream of readings, archived as it is, and
// aggregated into metrics per thing and window, which go to files, to the page
// and into a second stream whose consumer writes them to a table.
type pipeline struct {
	telemetry, metrics           *telemetry.Stream
	telemetryStore, metricsStore *telemetrypebble.Store
	streams, deliveries          map[string]namedStream // by name, for kinesis and firehose
	bucket                       *telemetry.DirBucket
	live                         *telemetry.Live

	// consumer is the name of the aggregating consumer. Open windows belong to
	// one window size: with another one the stream is aggregated anew, from the
	// oldest record that it holds.
	consumer string

	archive    telemetry.Sink
	aggregate  *telemetry.Aggregator
	upsertRows telemetry.Sink
}

// query is the window SQL of the metrics.
func query(window time.Duration) string {
	return fmt.Sprintf(`SELECT key AS thing, window_start, window_end, avg(temperature) AS avg, min(temperature) AS min, max(temperature) AS max, count(temperature) AS count
FROM stream GROUP BY key, TUMBLE(INTERVAL '%d' SECOND)`, int(window.Seconds()))
}

func openPipeline(db *pebble.DB, cfg Config, tables *table.Tables, logger *slog.Logger) (p *pipeline, err error) {
	p = &pipeline{live: telemetry.NewLive(nil), consumer: "metrics-" + time.Duration(cfg.Window).String()}
	opts := &telemetry.StreamOptions{Logger: logger}
	for _, s := range []struct {
		prefix string
		stream **telemetry.Stream
		store  **telemetrypebble.Store
	}{{"telemetry/", &p.telemetry, &p.telemetryStore}, {"metrics/", &p.metrics, &p.metricsStore}} {
		opened, err := openStream(db, s.prefix, cfg.Partitions, opts)
		if err != nil {
			return nil, err
		}
		*s.stream, *s.store = opened.Stream, opened.store
	}
	if p.bucket, err = telemetry.NewDirBucket(cfg.path("bucket"), nil); err != nil {
		return nil, err
	}
	if err := p.openNamed(db, cfg, logger); err != nil {
		return nil, err
	}
	files := func(prefix string) (telemetry.Sink, error) {
		return telemetry.Files(p.bucket, &telemetry.FilesOptions{Prefix: prefix, MaxBytes: cfg.FileBytes, MaxWait: time.Duration(cfg.FileEvery)})
	}
	if p.archive, err = files("raw/"); err != nil {
		return nil, err
	}
	metricFiles, err := files("metrics/")
	if err != nil {
		return nil, err
	}
	q, err := telemetry.Compile(query(time.Duration(cfg.Window)))
	if err != nil {
		return nil, err
	}
	lateness := time.Duration(cfg.Lateness)
	if lateness == 0 {
		lateness = -1 // none at all
	}
	p.aggregate = telemetry.Aggregate(q, telemetry.Tee(metricFiles, p.live, telemetry.Into(p.metrics)), &telemetry.WindowOptions{
		Name: "metrics", Lateness: lateness, IdleAfter: time.Second,
		OnDrop: func(r *telemetry.Record, err error) {
			logger.Debug("record in no window", "thing", r.Key, "err", err)
		},
	})
	p.upsertRows = telemetry.Func(func(ctx context.Context, b telemetry.Batch) error {
		for _, r := range b.Records {
			var m struct {
				Start int64 `json:"window_start"`
			}
			if err := json.Unmarshal(r.Value, &m); err != nil {
				return err
			}
			if err := tables.Put(ctx, "metrics", r.Key, strconv.FormatInt(m.Start, 10), r.Value); err != nil {
				return err
			}
		}
		return nil
	})
	return p, nil
}

// run runs streams and consumers until ctx is done.
func (p *pipeline) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.telemetry.Run(ctx) })
	group.Go(func() error { return p.metrics.Run(ctx) })
	group.Go(func() error { return p.telemetryStore.Run(ctx) })
	group.Go(func() error { return p.metricsStore.Run(ctx) })
	group.Go(func() error { return p.telemetry.Consume(ctx, "archive", p.archive) })
	group.Go(func() error { return p.telemetry.Consume(ctx, p.consumer, p.aggregate) })
	group.Go(func() error { return p.metrics.Consume(ctx, "table", p.upsertRows) })
	p.runNamed(ctx, group)
	return group.Wait()
}

// lag is how many records the slowest consumers are behind.
func (p *pipeline) lag() (n int64) {
	all := []*telemetry.Stream{p.telemetry, p.metrics}
	for _, s := range p.deliveries {
		all = append(all, s.Stream)
	}
	for _, s := range all {
		for _, c := range s.Stats().Consumers {
			n += c.Lag
		}
	}
	return n
}

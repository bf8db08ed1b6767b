package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sync/errgroup"

	"github.com/thingloom/thingloom/telemetry"
	"github.com/thingloom/thingloom/telemetry/telemetryhttp"
	"github.com/thingloom/thingloom/telemetry/telemetrypebble"
)

// The streams that are always there for the action kinesis: that of readings,
// which takes JSON alone, and that of the action cloudwatchMetric.
const (
	telemetryStream  = "telemetry"
	cloudWatchStream = "cloudwatch"
)

// A namedStream is a stream that rules put into by its name.
type namedStream struct {
	*telemetry.Stream
	store *telemetrypebble.Store
	sink  telemetry.Sink // of a delivery stream
}

// streamRetention is how long records are kept, the longest of Kinesis without long-term retention.
const streamRetention = 7 * 24 * time.Hour

func openStream(db *pebble.DB, prefix string, partitions int, opts *telemetry.StreamOptions) (namedStream, error) {
	store, err := telemetrypebble.Open(db, prefix, &telemetrypebble.Options{Partitions: partitions, MaxAge: streamRetention, Logger: opts.Logger})
	if err != nil {
		return namedStream{}, err
	}
	s, err := telemetry.NewStream(store, store, opts)
	return namedStream{Stream: s, store: store}, err
}

// openNamed opens the streams of -streams and -deliveryStreams, which take any bytes.
func (p *pipeline) openNamed(db *pebble.DB, cfg Config, logger *slog.Logger) (err error) {
	p.streams = map[string]namedStream{telemetryStream: {Stream: p.telemetry, store: p.telemetryStore}}
	bytes := &telemetry.StreamOptions{AnyBytes: true, Logger: logger}
	for _, name := range append(names(cfg.Streams), cloudWatchStream) {
		if p.streams[name], err = openStream(db, "streams/"+name+"/", cfg.Partitions, bytes); err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
	}
	p.deliveries = map[string]namedStream{}
	for _, name := range names(cfg.DeliveryStreams) {
		s, err := openStream(db, "deliveries/"+name+"/", 1, bytes) // one partition: records keep their order
		if err == nil {
			s.sink, err = telemetry.Files(p.bucket, &telemetry.FilesOptions{Prefix: "firehose/" + name + "/", Concatenate: true,
				MaxBytes: cfg.FileBytes, MaxWait: time.Duration(cfg.FileEvery)})
		}
		if err != nil {
			return fmt.Errorf("delivery stream %s: %w", name, err)
		}
		p.deliveries[name] = s
	}
	return nil
}

// runNamed runs what openNamed opened, and makes files of delivery streams.
func (p *pipeline) runNamed(ctx context.Context, group *errgroup.Group) {
	for name, s := range p.streams {
		if name == telemetryStream {
			continue // runs as the pipeline's own
		}
		group.Go(func() error { return s.Run(ctx) })
		group.Go(func() error { return s.store.Run(ctx) })
	}
	for _, s := range p.deliveries {
		group.Go(func() error { return s.Run(ctx) })
		group.Go(func() error { return s.store.Run(ctx) })
		group.Go(func() error { return s.Consume(ctx, "files", s.sink) })
	}
}

// streamName are the names that Kinesis and Firehose allow, but for a dot at the beginning.
var streamName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$`)

// names are those of a flag, separated by commas.
func names(list string) (all []string) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			all = append(all, name)
		}
	}
	return all
}

func checkStreams(list string, reserved ...string) error {
	seen := map[string]bool{}
	for _, name := range names(list) {
		switch {
		case !streamName.MatchString(name):
			return fmt.Errorf("%q is no name of a stream: 1 to 128 letters, digits, hyphens, underscores and dots", name)
		case slices.Contains(reserved, name):
			return fmt.Errorf("%q is a stream of this program", name)
		case seen[name]:
			return fmt.Errorf("%q twice", name)
		}
		seen[name] = true
	}
	return nil
}

// listStreams names the streams whose records can be read.
func (b *backend) listStreams(w http.ResponseWriter, _ *http.Request) {
	all := map[string][]string{"streams": {}, "deliveryStreams": {}}
	for name := range b.pipeline.streams {
		all["streams"] = append(all["streams"], name)
	}
	for name := range b.pipeline.deliveries {
		all["deliveryStreams"] = append(all["deliveryStreams"], name)
	}
	for _, names := range all {
		slices.Sort(names)
	}
	answer(w, http.StatusOK, all)
}

// readStream answers records of a stream, as telemetryhttp.Records has them.
func (b *backend) readStream(w http.ResponseWriter, r *http.Request) {
	s, ok := b.pipeline.streams[r.PathValue("stream")]
	if !ok {
		refuse(w, http.StatusNotFound, fmt.Errorf("there is no stream %q", r.PathValue("stream")))
		return
	}
	telemetryhttp.Records(s.store, nil).ServeHTTP(w, r)
}

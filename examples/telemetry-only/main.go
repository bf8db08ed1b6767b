// Command telemetry-only is package telemetry without the rest: it takes
// measurements over HTTP, keeps them durably, writes them into files, and
// shows averages of ten seconds as they come.
//
//	$ go run ./examples/telemetry-only &
//	$ curl -d '{"t":20.5}' http://127.0.0.1:8090/put/s1       # durable when it answers
//	$ curl -N http://127.0.0.1:8090/live                      # windows, as server-sent events
//	$ curl http://127.0.0.1:8090/bucket/                      # the files, and below it their content
//
// Kill it at any moment: what was answered with 204 is in the files once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sync/errgroup"

	"github.com/thingloom/thingloom/telemetry"
	"github.com/thingloom/thingloom/telemetry/telemetryhttp"
	"github.com/thingloom/thingloom/telemetry/telemetrypebble"
)

const windows = `SELECT key, avg(t) AS t, min(t) AS low, max(t) AS peak, count(*) AS n
FROM stream GROUP BY key, TUMBLE(INTERVAL '10' SECOND)`

func main() {
	addr := flag.String("addr", "127.0.0.1:8090", "address to listen on")
	data := flag.String("data", "telemetry-data", "folder of the database and the bucket")
	query := flag.String("query", windows, "window SQL")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", *addr)
	if err == nil {
		fmt.Println("listening on", l.Addr())
		err = run(ctx, l, *data, *query)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		var se *telemetry.SyntaxError
		if errors.As(err, &se) {
			fmt.Fprintln(os.Stderr, se.Snippet)
		}
		os.Exit(1)
	}
}

// run serves until ctx is done, then drains: first intake, then workers.
func run(ctx context.Context, l net.Listener, data, query string) (err error) {
	defer l.Close()
	q, err := telemetry.Compile(query)
	if err != nil {
		return err
	}
	db, err := pebble.Open(filepath.Join(data, "db"), &pebble.Options{Logger: silent{}, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	store, err := telemetrypebble.Open(db, "telemetry/", &telemetrypebble.Options{MaxAge: 7 * 24 * time.Hour})
	if err != nil {
		return err
	}
	stream, err := telemetry.NewStream(store, store, nil)
	if err != nil {
		return err
	}
	bucket, err := telemetry.NewDirBucket(filepath.Join(data, "bucket"), nil)
	if err != nil {
		return err
	}
	raw, err := telemetry.Files(bucket, &telemetry.FilesOptions{Prefix: "raw/", MaxWait: 30 * time.Second})
	if err != nil {
		return err
	}
	metrics, err := telemetry.Files(bucket, &telemetry.FilesOptions{Prefix: "metrics/"})
	if err != nil {
		return err
	}
	live := telemetry.NewLive(nil)

	workCtx, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	work, workCtx := errgroup.WithContext(workCtx)
	work.Go(func() error { return stream.Run(workCtx) })
	work.Go(func() error { return store.Run(workCtx) })
	work.Go(func() error { return stream.Consume(workCtx, "raw", raw) })
	work.Go(func() error {
		sink := telemetry.Aggregate(q, telemetry.Tee(metrics, live), &telemetry.WindowOptions{Lateness: 2 * time.Second})
		return stream.Consume(workCtx, "metrics", sink)
	})

	mux := http.NewServeMux()
	mux.HandleFunc("POST /put/{key}", put(stream))
	mux.Handle("GET /live", telemetryhttp.Events(live, nil))
	mux.Handle("GET /now", telemetryhttp.Values(live))
	mux.Handle("GET /bucket/", http.StripPrefix("/bucket/", telemetryhttp.Files(bucket, nil)))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case <-ctx.Done():
	case <-workCtx.Done(): // a worker failed
	case err = <-served:
	}
	// ctx is over or the end is near: what is being answered may finish.
	shutdown, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if e := srv.Shutdown(shutdown); e != nil {
		err = errors.Join(err, e, srv.Close())
	}
	stopWork()
	return errors.Join(err, work.Wait())
}

// put answers 204 once the measurement is durable.
func put(stream *telemetry.Stream) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		if err == nil {
			// Not the request's context: it ends with the program's, and
			// then a put that is under way shall still be answered.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 5*time.Second)
			defer cancel()
			err = stream.Put(ctx, r.PathValue("key"), time.Time{}, body)
		}
		var tooLarge *http.MaxBytesError
		switch {
		case err == nil:
			w.WriteHeader(http.StatusNoContent)
		case errors.As(err, &tooLarge):
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		case errors.Is(err, telemetry.ErrInvalidRecord):
			http.Error(w, err.Error(), http.StatusBadRequest)
		default:
			http.Error(w, "not stored, or not known to be", http.StatusServiceUnavailable)
		}
	}
}

type silent struct{}

func (silent) Infof(string, ...any)              {}
func (silent) Errorf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// Command full-backend is a whole IoT backend in one process, made of the
// packages of Thingloom: MQTT with certificates, registry, shadows, rules,
// actions, telemetry, and a page to watch it.
//
//	go run github.com/thingloom/thingloom/examples/full-backend -simulate 5
//
// Everything is kept below -data. The first start makes a CA, a server
// certificate, an admin token and a first device; -h lists the settings.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	_ "time/tzdata" // parse_time knows every zone, also where the host has no zone files
)

func main() {
	defer runtime.KeepAlive(suitRuntime())
	cfg, err := parseConfig(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "full-backend:", err)
		os.Exit(2)
	}
	level := slog.LevelInfo
	if cfg.Verbose {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cfg, logger); err != nil {
		fmt.Fprintln(os.Stderr, "full-backend:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg Config, logger *slog.Logger) (err error) {
	b, err := open(ctx, cfg, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	return b.run(ctx)
}

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokernet"
	"github.com/thingloom/thingloom/broker/brokerws"
	"github.com/thingloom/thingloom/registry/awsauth"
)

// run serves until ctx is done, and drains: first nothing new is let in, then
// what was let in is worked off, then run returns and the database closes.
func (b *backend) run(ctx context.Context) error {
	listeners, err := b.listen()
	if err != nil {
		return err
	}
	workCtx, stopWork := context.WithCancel(context.Background())
	defer stopWork()
	workers, workCtx := errgroup.WithContext(workCtx)
	workers.Go(func() error { return b.dispatcher.Run(workCtx) })
	workers.Go(func() error { return b.pipeline.run(workCtx) })
	workers.Go(func() error { return b.shadows.Run(workCtx) })
	workers.Go(func() error { return b.broker.Run(workCtx) })
	workers.Go(func() error { return b.provisioning.Run(workCtx) })
	workers.Go(func() error { return b.index.Run(workCtx) })
	workers.Go(func() error { return b.dynamic.Run(workCtx) })
	workers.Go(func() error { return b.jobs.Run(workCtx) })
	workers.Go(func() error { return b.defender.Run(workCtx) })
	workers.Go(func() error { return b.ids.server.Run(workCtx) })

	// A worker that fails ends the program: what it does not do is not done.
	ctx, failed := context.WithCancel(ctx)
	defer failed()
	go func() { <-workCtx.Done(); failed() }()

	intake, intakeCtx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		intake.Go(func() error { return l.serve(intakeCtx) })
	}
	if b.cfg.Simulate > 0 {
		sim := &simulator{addr: dialable(b.cfg.MQTT), every: time.Duration(b.cfg.Every), identity: b.simulated, log: b.log}
		intake.Go(func() error { return sim.Run(intakeCtx, b.cfg.Simulate) })
	}
	fmt.Print(b.banner())
	err = intake.Wait()
	drain, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	err = errors.Join(err, b.engine.Drain(drain)) // rules that wait for an answer have actions to invoke
	stopWork()
	return errors.Join(err, workers.Wait())
}

// A listener is one open port.
type listener struct {
	net.Listener
	serve func(ctx context.Context) error
}

// listen opens all ports before anything is served, so that a port in use
// fails the start and not the middle.
func (b *backend) listen() (all []*listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range all {
				l.Close()
			}
		}
	}()
	add := func(name, addr string, open func(addr string) (net.Listener, error), serve func(ctx context.Context, l net.Listener) error) error {
		if addr == "" {
			return nil
		}
		l, err := open(addr)
		if err != nil {
			return fmt.Errorf("-%s: %w", name, err)
		}
		all = append(all, &listener{l, func(ctx context.Context) error {
			if err := serve(ctx, l); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		}})
		return nil
	}
	lifetime := time.Duration(0)
	if b.cfg.AWSLimits {
		lifetime = 24 * time.Hour
	}
	ws, err := brokerws.New(b.broker, &brokerws.Options{Logger: b.log, Lifetime: lifetime})
	if err != nil {
		return nil, err
	}
	devices := b.deviceHandler(ws)
	admin, err := b.adminHandler()
	if err != nil {
		return nil, err
	}
	return all, errors.Join(
		add("http", b.cfg.HTTP, listenTCP, func(ctx context.Context, l net.Listener) error { return b.serveHTTP(ctx, l, admin) }),
		add("mqtt", b.cfg.MQTT, b.listenBehindProxy, func(ctx context.Context, l net.Listener) error {
			return b.broker.Serve(ctx, tls.NewListener(broker.ForTLS(l), b.tlsConfig()))
		}),
		add("https", b.cfg.HTTPS, b.listenBehindProxy, func(ctx context.Context, l net.Listener) error {
			// Who shows no certificate needs a signature or a custom authorizer.
			config := b.tlsConfig()
			config.ClientAuth = tls.RequestClientCert
			mux, err := brokernet.NewMux(broker.ForTLS(l), config, &brokernet.MuxOptions{Logger: b.log})
			if err != nil {
				return err
			}
			group, ctx := errgroup.WithContext(ctx)
			group.Go(func() error { return mux.Run(ctx) })
			group.Go(func() error { return ws.Run(ctx) })
			group.Go(func() error { return b.serveHTTP(ctx, mux.HTTP(), devices) })
			group.Go(func() error { return b.broker.Serve(ctx, mux.MQTT()) })
			return group.Wait()
		}),
		add("plain", b.cfg.Plain, listenTCP, b.broker.Serve),
		add("unix", b.cfg.Unix, listenUnix, b.broker.Serve),
	)
}

func listenTCP(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

// listenBehindProxy opens a port that load balancers may be in front of.
func (b *backend) listenBehindProxy(addr string) (net.Listener, error) {
	l, err := listenTCP(addr)
	if err != nil || b.cfg.Proxy == "" {
		return l, err
	}
	trusted, err := b.cfg.proxies()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return brokernet.NewProxyListener(l, trusted)
}

// listenUnix opens a socket for those who may write its file: this user and its group.
func listenUnix(file string) (net.Listener, error) {
	if c, err := net.Dial("unix", file); err == nil {
		return nil, errors.Join(fmt.Errorf("%s is in use", file), c.Close())
	}
	if info, err := os.Lstat(file); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if err := os.Remove(file); err != nil { // left by a process that was killed
			return nil, err
		}
	}
	l, err := net.Listen("unix", file)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(file, 0o660); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// serveHTTP serves until ctx is done; requests under way then have five seconds.
func (b *backend) serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler:           hurry(h, time.Duration(b.cfg.HTTPPatience)),
		ReadHeaderTimeout: time.Duration(b.cfg.HTTPPatience),
		MaxHeaderBytes:    64 << 10,
		IdleTimeout:       2 * time.Minute,
		// Streams of events end with ctx; Shutdown alone would wait for them.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	brokernet.Prepare(server) // for connections of a Mux
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		late, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		done <- errors.Join(server.Shutdown(late), server.Close())
	}()
	err := server.Serve(awsauth.Listener(l))
	closed := ctx.Err() != nil && errors.Is(err, net.ErrClosed) // by a Mux, before the server came to it
	if !closed && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	if err := <-done; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// dialable is an address of this machine that reaches a listener on addr.
func dialable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

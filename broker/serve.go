package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Serve accepts clients on l until ctx is done, and serves each as
// [Broker.ServeConn] does. Then it closes l, tells the clients of this listener 0x8B
// and disconnects them, each after the packets it has sent so far are dealt with and acknowledged, and
// waits for at most Options.DrainTimeout. It returns nil if that went well. Any
// number of listeners may be served at once; for TLS pass a tls.NewListener,
// best of a listener that went through [ForTLS].
func (b *Broker) Serve(ctx context.Context, l net.Listener) error {
	defer b.keepHouse()()
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		open = map[*conn]struct{}{}
	)
	closed := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer closed()
	base := baseContext(ctx)
	loops := newLoops(base, b, l)
	defer loops.close()
	err := b.accept(ctx, l, func(nc net.Conn) {
		if loops.take(nc) {
			return
		}
		c := newConn(b, nc)
		mu.Lock()
		open[c] = struct{}{}
		mu.Unlock()
		wg.Go(func() {
			_ = c.serve(base, loops) // is logged and counted where it ends
			mu.Lock()
			delete(open, c)
			mu.Unlock()
		})
	})
	_ = l.Close()
	each := func(f func(*conn)) {
		mu.Lock()
		for c := range open {
			f(c)
		}
		mu.Unlock()
		loops.each(f) // now: one that moves there is there before it leaves open
	}
	each(func(c *conn) { c.end(serverShuttingDown, ServerInitiatedDisconnect, errDraining) })
	done := make(chan struct{})
	go func() { wg.Wait(); loops.wait(); close(done) }()
	late := time.NewTimer(b.opts.DrainTimeout)
	defer late.Stop()
	select {
	case <-done:
		return err
	case <-late.C:
	}
	n := 0
	each(func(c *conn) { n++; c.abandon() })
	<-done
	return errors.Join(err, fmt.Errorf("broker: %d connections did not end within %v", n, b.opts.DrainTimeout))
}

// accept calls serve for each connection until ctx is done or l fails for good.
func (b *Broker) accept(ctx context.Context, l net.Listener, serve func(net.Conn)) error {
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = 0
			serve(nc)
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		var ne net.Error
		if errors.Is(err, net.ErrClosed) || !errors.As(err, &ne) {
			return fmt.Errorf("broker: accept: %w", err)
		}
		// Out of file descriptors, or the like: others may go, and then this works again.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		b.opts.Logger.Warn("accept", "err", err, "retry_in", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"syscall"
	"time"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowmqtt"
)

// overMQTT serves the shadows over TCP to clients in another process, which measure from the publish of an update to its
// delta.
func (b *bench) overMQTT(svc *shadow.Service, syncs *syncs) error {
	bus, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{}})
	if err != nil {
		return err
	}
	topics, err := shadowmqtt.New(svc, bus, nil)
	if err != nil {
		return err
	}
	defer topics.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- bus.Serve(ctx, l) }()
	defer func() { stop(); <-served }()

	over, err := b.observe()
	if err != nil {
		return err
	}
	syncs.reset()
	used := cpu()
	clients := exec.Command(os.Args[0], "-load", l.Addr().String(), "-rate", strconv.Itoa(b.rate), "-devices", strconv.Itoa(b.devices), "-duration", b.duration.String())
	clients.Stdout, clients.Stderr = os.Stdout, os.Stderr
	err = clients.Run()
	over()
	if err != nil {
		return fmt.Errorf("clients: %w", err)
	}
	updates := int64(topics.Stats().Requests)
	used = cpu() - used
	theirs := clients.ProcessState.UserTime() + clients.ProcessState.SystemTime()
	each := func(d time.Duration) time.Duration {
		return (d / time.Duration(max(updates, 1))).Round(time.Microsecond)
	}
	fmt.Printf("broker and service: %d updates, %d rejected, %s, %v of processor an update, the clients %v\n", updates, topics.Stats().Rejected, syncs.report(updates), each(used), each(theirs))
	return nil
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// observe begins the profile and the trace that were asked for, if any, and returns what ends them.
func (b *bench) observe() (end func(), err error) {
	end = func() {}
	if b.trace != "" {
		f, err := os.Create(b.trace)
		if err != nil {
			return nil, err
		}
		time.AfterFunc(b.duration/2, func() {
			if trace.Start(f) == nil {
				time.AfterFunc(2*time.Second, trace.Stop)
			}
		})
	}
	if b.profile != "" {
		f, err := os.Create(b.profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			return nil, err
		}
		end = pprof.StopCPUProfile
	}
	return end, nil
}

package main

import (
	"os"
	"runtime"
)

// suitRuntime suits the Go runtime to a program whose threads wait for disks
// and sockets, unless the environment has said how it wants it. The caller
// keeps what it returns.
//
// That is memory which is never touched, so that none of it is resident. It
// counts as alive, so that a backend of a few devices is not collected many
// times a second, each time beside all messages: the collector waits until as
// much garbage is there. What a large backend has makes it count for little.
func suitRuntime() (untouched []byte) {
	// A thread that waits for a sync, or in an event loop for its sockets, keeps
	// one of Go's processors until the runtime notices.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		untouched = make([]byte, 64<<20)
	}
	return untouched
}

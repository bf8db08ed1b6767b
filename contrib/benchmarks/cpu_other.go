//go:build !unix

package main

import "time"

var start = time.Now()

// cpuTime is the time on the wall, where the system does not tell a process
// more: close to it on a machine that does nothing else.
func cpuTime() time.Duration { return time.Since(start) }

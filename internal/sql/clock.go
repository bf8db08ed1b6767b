package sql

import "time"

// A clock tells the time for half of what time.Now takes, which reads two
// clocks of the system: it reads the monotonic one alone, and the other again
// after clockTrust, so that it follows when that is set. The zero clock is ready.
type clock struct{ read time.Time }

const clockTrust = 10 * time.Millisecond

func (c *clock) now() time.Time {
	if d := time.Since(c.read); d >= 0 && d < clockTrust {
		return c.read.Add(d)
	}
	c.read = time.Now()
	return c.read
}

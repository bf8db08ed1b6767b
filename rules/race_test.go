//go:build race

package rules

// raceEnabled: the race detector makes sync.Pool drop things at random.
const raceEnabled = true

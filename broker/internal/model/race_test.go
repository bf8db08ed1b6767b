//go:build race

package model

// schedules is how many a run plays whose race detector makes each of them ten times as slow.
const schedules = 100

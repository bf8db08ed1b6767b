//go:build !race

package model

// schedules is how many an ordinary run plays.
const schedules = 2000

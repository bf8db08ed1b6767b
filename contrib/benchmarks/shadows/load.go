package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// load is the clients: devices that publish updates at a rate, and one that hears all deltas.
func (b *bench) load(addr string) error {
	debug.SetGCPercent(-1) // it needs no more than some dozen MB, and what is waited for is not to be its own collector
	warm := b.duration / 5
	total := int(float64(b.rate) * (warm + b.duration).Seconds())
	sub, err := newSubscriber(addr, total)
	if err != nil {
		return err
	}
	defer sub.Close()
	pubs := make([]*publisher, b.devices)
	for i := range pubs {
		if pubs[i], err = newPublisher(addr, fmt.Sprintf("device-%d", i)); err != nil {
			return err
		}
		defer pubs[i].Close()
	}
	rand.Shuffle(len(pubs), func(i, j int) { pubs[i], pubs[j] = pubs[j], pubs[i] })
	late, err := drive(pubs, b.rate, total)
	if err != nil {
		return err
	}
	for range 100 { // what is under way
		if sub.deltas() == total {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	acked := 0
	for _, p := range pubs {
		if err := p.hear(); err != nil {
			return err
		}
		acked += p.acknowledged()
	}
	took := sub.latencies(warm)
	if len(took) == 0 {
		return errors.New("no delta came")
	}
	fmt.Printf("MQTT, %d devices, %d updates/s asked for: %d sent, %d acknowledged, %d deltas, sender behind by at most %v\n", b.devices, b.rate, total, acked, sub.deltas(), late.Round(100*time.Microsecond))
	fmt.Printf("publish to delta: p50 %v, p90 %v, p99 %v, p99.9 %v, most %v\n", at(took, 500), at(took, 900), at(took, 990), at(took, 999), at(took, 1000))
	return nil
}

// drive publishes at a rate, by the publishers in turn. late is how far it was behind at most.
func drive(pubs []*publisher, rate, total int) (late time.Duration, err error) {
	began := time.Now()
	for i := range total {
		due := began.Add(time.Duration(float64(i) / float64(rate) * float64(time.Second)))
		switch wait := time.Until(due); {
		case wait > 0:
			time.Sleep(wait)
		case -wait > late:
			late = -wait
		}
		if err := pubs[i%len(pubs)].publish(due); err != nil {
			return late, err
		}
	}
	return late, nil
}

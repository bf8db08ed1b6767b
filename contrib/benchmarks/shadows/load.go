package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// load is the clients: devices that publish updates at a rate, and one that hears all deltas.
func (b *bench) load(addr string) error {
	sub, err := newSubscriber(addr)
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
	warm := b.duration / 5
	sent, late, err := drive(pubs, b.rate, warm+b.duration)
	if err != nil {
		return err
	}
	for range 100 { // what is under way
		if sub.deltas() == sent {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	took := sub.latencies(warm)
	if len(took) == 0 {
		return errors.New("no delta came")
	}
	fmt.Printf("MQTT, %d devices, %d updates/s asked for: %d sent, %d deltas, sender behind by at most %v\n", b.devices, b.rate, sent, sub.deltas(), late.Round(100*time.Microsecond))
	fmt.Printf("publish to delta: p50 %v, p90 %v, p99 %v, p99.9 %v, most %v\n", at(took, 500), at(took, 900), at(took, 990), at(took, 999), at(took, 1000))
	return nil
}

// drive publishes at a rate, by the publishers in turn. late is how far it was behind at most.
func drive(pubs []*publisher, rate int, duration time.Duration) (sent int, late time.Duration, err error) {
	began := time.Now()
	total := int(float64(rate) * duration.Seconds())
	for sent < total {
		due := began.Add(time.Duration(float64(sent) / float64(rate) * float64(time.Second)))
		switch wait := time.Until(due); {
		case wait > 0:
			time.Sleep(wait)
		case -wait > late:
			late = -wait
		}
		if err := pubs[sent%len(pubs)].publish(due); err != nil {
			return sent, late, err
		}
		sent++
	}
	return sent, late, nil
}

package shadowdevice

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/thingloom/thingloom/shadow"
)

// Run keeps the device and its shadow in step over conn until ctx is done, and
// returns nil then. Whatever fails before is tried again. It may be called again
// after it returned, with another connection, and goes on with what it knew.
func (d *Device[T]) Run(ctx context.Context, conn Conn) error {
	d.mu.Lock()
	if d.conn != nil {
		d.mu.Unlock()
		return ErrRunning
	}
	d.conn = conn
	d.renew()
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.conn = nil
		d.renew()
	}()

	timer := time.NewTimer(0)
	defer timer.Stop()
	for failures := 0; ; {
		select {
		case <-d.wake:
		case <-timer.C:
			if failures == 0 {
				d.restart()
			}
		case <-ctx.Done():
			return nil
		}
		err := d.step(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			failures = 0
			timer.Stop()
			if d.opts.Refresh > 0 {
				timer.Reset(d.opts.Refresh)
			}
		default:
			// What wakes Run while it pauses may be what makes it succeed: a new
			// connection, a newer delta.
			timer.Reset(min(d.opts.RetryPause<<min(failures, 20), d.opts.MaxRetryPause))
			failures++
			d.stats.retries.Add(1)
			d.opts.Logger.Warn("shadow not in step, trying again", "shadow", d.ref, "err", err)
		}
	}
}

// step does all there is to do.
func (d *Device[T]) step(ctx context.Context) error {
	d.mu.Lock()
	select {
	case <-d.wake: // what it was for is done below
	default:
	}
	fresh, synced := d.fresh, d.synced
	d.mu.Unlock()
	if !fresh {
		if err := d.subscribe(ctx); err != nil {
			return err
		}
	}
	if !synced {
		if err := d.sync(ctx); err != nil {
			return err
		}
	}
	for {
		if err := d.work(ctx); err != nil {
			return err
		}
		if err := d.tell(ctx); err != nil {
			return err
		}
		d.mu.Lock()
		idle := d.pending == nil && d.told == d.changed
		d.mu.Unlock()
		if idle {
			return nil
		}
	}
}

// subscribe asks for all that Receive knows, in one SUBSCRIBE.
func (d *Device[T]) subscribe(ctx context.Context) error {
	d.mu.Lock()
	lost := d.lost
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, d.opts.AnswerTimeout)
	defer cancel()
	s := &paho.Subscribe{}
	for _, what := range []string{"update/delta", "update/accepted", "update/rejected", "get/accepted", "get/rejected", "delete/accepted"} {
		s.Subscriptions = append(s.Subscriptions, paho.SubscribeOptions{Topic: d.base + what, QoS: 1})
	}
	ack, err := d.conn.Subscribe(ctx, s)
	if ack != nil {
		for i, code := range ack.Reasons {
			if code >= 0x80 && i < len(s.Subscriptions) {
				return fmt.Errorf("%w: subscribe %s: reason 0x%02x", ErrRefused, s.Subscriptions[i].Topic, code)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("shadowdevice: subscribe: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if lost != d.lost { // the subscriptions are those of a connection that is gone
		return fmt.Errorf("%w: subscribe: the connection was lost", ErrUnanswered)
	}
	d.fresh = true
	return nil
}

// sync asks for the document and takes over what it says.
func (d *Device[T]) sync(ctx context.Context) error {
	d.mu.Lock()
	known, lost := d.version, d.lost
	d.mu.Unlock()
	doc, err := d.document(ctx)
	missing := errors.Is(err, shadow.ErrNotFound)
	if err != nil && !missing {
		return err
	}
	d.stats.syncs.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if lost != d.lost {
		return ErrUnanswered
	}
	d.reported = doc.Reported
	switch {
	case missing && d.version > known:
		// It has been made since: the delta that says so is kept.
	case missing:
		d.version, d.pending = 0, nil
	case doc.Version < known || doc.Version >= d.version:
		// An answer below what was known when it was asked for is that of a
		// shadow made anew.
		d.gone = false
		d.version, d.pending = doc.Version, nil
		if doc.delta != nil {
			d.keep(&delta{Version: doc.Version, State: doc.delta})
		}
	}
	if d.is != nil && d.told == d.changed && !d.gone {
		d.changed++ // the document may have changed while nobody listened: compare
	}
	if !d.synced {
		d.synced = true
		close(d.up)
	}
	return nil
}

// work applies the delta that is pending.
func (d *Device[T]) work(ctx context.Context) error {
	d.mu.Lock()
	todo, is, reported := d.pending, d.is, d.reported
	d.mu.Unlock()
	if todo == nil {
		return nil
	}
	want, err := wanted(is, reported, todo.State)
	if err != nil {
		// Nothing that is tried again makes it fit: the next delta may.
		d.stats.unreadable.Add(1)
		d.opts.Logger.Error("delta does not fit", "shadow", d.ref, "version", todo.Version, "err", err)
		d.done(todo)
		return nil
	}
	after, err := d.apply(ctx, want, todo.State)
	if err != nil {
		d.stats.applyErrors.Add(1)
		return fmt.Errorf("shadowdevice: apply: %w", err)
	}
	d.stats.applied.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	// What the delta names the service has not, whatever was thought.
	d.reported = without(d.reported, todo.State)
	d.is = &after
	d.changed++
	d.tried = attempt{state: todo.State, number: d.changed}
	if d.pending == todo {
		d.pending = nil
	}
	return nil
}

func (d *Device[T]) done(m *delta) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pending == m {
		d.pending = nil
	}
}

// tell writes what the device is to reported, if the service has it otherwise.
func (d *Device[T]) tell(ctx context.Context) error {
	d.mu.Lock()
	number, reported, known := d.changed, d.reported, d.version
	if d.is == nil || d.told == number {
		d.mu.Unlock()
		return nil
	}
	is, token := *d.is, rand.Text()
	if d.tried.token = ""; d.tried.number == number {
		d.tried.token = token
	}
	d.mu.Unlock()
	patch, err := reportOf(reported, is)
	if err != nil || patch == nil {
		return d.end(number, err)
	}
	payload, err := d.requestAs(ctx, token, "update", append(append([]byte(`{"state":{"reported":`), patch...), `}`...))
	if err != nil {
		if unknown(err) {
			d.doubt() // the document tells whether it had its effect
		}
		if final(err) {
			return d.end(number, err)
		}
		return fmt.Errorf("shadowdevice: report: %w", err)
	}
	var ack struct{ Version int64 }
	if err := json.Unmarshal(payload, &ack); err != nil {
		d.doubt()
		return fmt.Errorf("shadowdevice: report: unreadable answer: %w", err)
	}
	if ack.Version <= known {
		d.restart() // the shadow was made anew
	}
	d.stats.reports.Add(1)
	next, err := merged(reported, patch)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.reported = next
	d.mu.Unlock()
	return d.end(number, nil)
}

// doubt has the document asked for again by the next step. Unlike restart it
// does not rouse Run, which pauses after what failed.
func (d *Device[T]) doubt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget()
}

// restart has the document asked for again. Deltas are taken as before.
func (d *Device[T]) restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget()
	d.rouse()
}

// end tells those that wait what became of the state with that number.
func (d *Device[T]) end(number uint64, err error) error {
	if err != nil {
		d.stats.refused.Add(1)
		d.opts.Logger.Error("report refused", "shadow", d.ref, "err", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told, d.refusal = number, err
	close(d.news)
	d.news = make(chan struct{})
	return nil
}

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

// request sends one request and waits for its answer. body is its payload
// without the end, where the client token comes. Errors are ErrUnanswered,
// ErrRefused, and those of a rejected message.
func (d *Device[T]) request(ctx context.Context, operation string, body []byte) ([]byte, error) {
	return d.requestAs(ctx, rand.Text(), operation, body)
}

func (d *Device[T]) requestAs(ctx context.Context, token, operation string, body []byte) ([]byte, error) {
	if len(body) > 1 {
		body = append(body, ',')
	}
	body = append(append(append(body, `"clientToken":"`...), token...), `"}`...)

	answer := make(chan reply, 1)
	d.mu.Lock()
	conn, lost := d.conn, d.lost
	d.waiting[token] = answer
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.waiting, token)
	}()
	if conn == nil {
		return nil, fmt.Errorf("%w: not connected", ErrUnanswered)
	}
	limit, cancel := context.WithTimeout(ctx, d.opts.AnswerTimeout)
	defer cancel()
	ack, err := conn.Publish(limit, &paho.Publish{QoS: 1, Topic: d.base + operation, Payload: body})
	switch {
	case ack != nil && ack.ReasonCode >= 0x80:
		return nil, fmt.Errorf("%w: publish %s: reason 0x%02x", ErrRefused, operation, ack.ReasonCode)
	case err != nil:
		return nil, fmt.Errorf("%w: %s: %w", ErrUnanswered, operation, err)
	}
	select {
	case r := <-answer:
		if r.rejected {
			return nil, rejected(r.payload, token)
		}
		return r.payload, nil
	case <-lost:
		return nil, fmt.Errorf("%w: %s: the connection was lost", ErrUnanswered, operation)
	case <-limit.Done():
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("%w: %s: none in %v", ErrUnanswered, operation, d.opts.AnswerTimeout)
	}
}

// Get asks for the document. Without a connection it waits for one. Errors are
// shadow.ErrNotFound and the other refusals of the service, and that of ctx.
func (d *Device[T]) Get(ctx context.Context) (shadow.State[T], error) {
	var s shadow.State[T]
	err := d.persist(ctx, func() error {
		doc, err := d.document(ctx)
		if err == nil {
			s, err = shadow.StateOf[T](d.ref, doc.Document)
		}
		return err
	})
	return s, err
}

// A document is what the service says of a shadow.
type document struct {
	shadow.Document
	delta json.RawMessage
}

// document asks for the document. shadow.ErrNotFound if there is none.
func (d *Device[T]) document(ctx context.Context) (doc document, err error) {
	payload, err := d.request(ctx, "get", []byte(`{`))
	if err != nil {
		return doc, err
	}
	var answer struct {
		State struct {
			Desired, Reported, Delta json.RawMessage
		}
		Version   int64
		Timestamp int64
	}
	if err := json.Unmarshal(payload, &answer); err != nil {
		return doc, fmt.Errorf("shadowdevice: get: unreadable document: %w", err)
	}
	doc.Desired, doc.Reported, doc.delta = answer.State.Desired, answer.State.Reported, answer.State.Delta
	doc.Version, doc.Time = answer.Version, time.Unix(answer.Timestamp, 0)
	return doc, nil
}

// Update changes the shadow by what edit does to Desired and Reported of its
// state, under its version: if another writer wins in between, edit is called
// again with what is there then, so it must not do anything else. A shadow that
// does not exist comes as the zero State, and has no version to name: two who make
// it at once are merged. Without a connection or an answer it
// goes on until ctx is done, so that edit may see what it did before. It
// returns the version written, or 0 if edit changed nothing.
func (d *Device[T]) Update(ctx context.Context, edit func(*shadow.State[T]) error) (version int64, err error) {
	err = d.persist(ctx, func() error {
		version = 0
		doc, err := d.document(ctx)
		if err != nil && !errors.Is(err, shadow.ErrNotFound) {
			return err
		}
		patch, err := shadow.Edit(d.ref, doc.Document, edit)
		if err != nil {
			return ownError{err}
		}
		if patch == nil {
			return nil
		}
		body := append([]byte(`{"state":`), patch...)
		if doc.Version > 0 {
			body = fmt.Appendf(body, `,"version":%d`, doc.Version)
		}
		payload, err := d.request(ctx, "update", body)
		if err != nil {
			return err
		}
		var ack struct{ Version int64 }
		if err := json.Unmarshal(payload, &ack); err != nil {
			return fmt.Errorf("shadowdevice: update: unreadable answer: %w", err)
		}
		version = ack.Version
		d.restart() // reported may be another than this device told
		return nil
	})
	return version, err
}

// ownError is an error of the caller's own, which ends persist as it is.
type ownError struct{ error }

// persist calls do on a connection until it succeeds, is refused for good, or
// ctx is done.
func (d *Device[T]) persist(ctx context.Context, do func() error) error {
	pause := d.opts.RetryPause
	for {
		d.mu.Lock()
		up := d.up
		d.mu.Unlock()
		select {
		case <-up:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		err := do()
		if own := (ownError{}); errors.As(err, &own) {
			return own.error
		}
		if err == nil || final(err) || errors.Is(err, shadow.ErrNotFound) {
			return err
		}
		d.stats.retries.Add(1)
		if errors.Is(err, shadow.ErrVersionConflict) {
			continue // another writer made progress
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, d.opts.MaxRetryPause)
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

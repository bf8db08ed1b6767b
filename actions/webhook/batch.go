package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/thingloom/thingloom/actions"
)

// A BatchConfig says when a batch is sent.
type BatchConfig struct {
	MaxBatchOpenMs    *int `json:"maxBatchOpenMs" default:"20" doc:"milliseconds that the first payload waits for others, 5 to 200"`
	MaxBatchSize      *int `json:"maxBatchSize" default:"10" doc:"payloads, 2 to 10"`
	MaxBatchSizeBytes *int `json:"maxBatchSizeBytes" default:"5120" doc:"bytes of payloads, 100 to 131072"`
	BatchAcrossTopics bool `json:"batchAcrossTopics" doc:"payloads of several topics may be in one batch"`
}

type batchLimits struct {
	open         time.Duration
	size, bytes  int
	acrossTopics bool
}

func (c *BatchConfig) limits() (l batchLimits, err error) {
	if c == nil {
		c = new(BatchConfig)
	}
	ms := 0
	for _, p := range []struct {
		name                  string
		given                 *int
		least, most, standard int
		to                    *int
	}{
		{"maxBatchOpenMs", c.MaxBatchOpenMs, 5, 200, 20, &ms},
		{"maxBatchSize", c.MaxBatchSize, 2, 10, 10, &l.size},
		{"maxBatchSizeBytes", c.MaxBatchSizeBytes, 100, 131072, 5120, &l.bytes},
	} {
		*p.to = p.standard
		if p.given != nil {
			*p.to = *p.given
		}
		if *p.to < p.least || *p.to > p.most {
			return l, &actions.ParamError{Path: "batchConfig." + p.name, Err: fmt.Errorf("%d is not in %d to %d", *p.to, p.least, p.most)}
		}
	}
	l.open, l.acrossTopics = time.Duration(ms)*time.Millisecond, c.BatchAcrossTopics
	return l, nil
}

// A batcher is a hook that collects payloads. Each Do waits until the batch of
// its payload has been sent; that of the first one sends it.
type batcher struct {
	*hook
	limits batchLimits

	mu   sync.Mutex
	open map[batchKey]*batch // that take more
}

// A BatchError is what a request of several payloads met. All of its payloads
// have the same one, found by errors.As, so that who hears of them can tell
// them together.
type BatchError struct {
	Payloads int // that the request carried
	Err      error
}

func (e *BatchError) Error() string { return e.Err.Error() }

// Unwrap gives Err.
func (e *BatchError) Unwrap() error { return e.Err }

type batchKey struct{ rule, url, topic string }

type batch struct {
	body   bytes.Buffer // an array without its end
	n      int
	header http.Header // of the last payload
	full   chan struct{}
	sent   chan struct{} // closed when err is valid
	err    error
}

var (
	_ actions.Action     = (*batcher)(nil)
	_ actions.Concurrent = (*batcher)(nil)
)

// Concurrency lets four batches fill at a time, of whatever keys.
func (b *batcher) Concurrency() int { return 4 * b.limits.size }

var errNotJSON = errors.New("webhook: a payload that is not JSON has no place in a batch")

func (b *batcher) Do(ctx context.Context, r *actions.Request) error {
	u, header, err := b.expand(ctx, r)
	if err != nil {
		return actions.WithResource(err, b.params.URL.String())
	}
	if !json.Valid(r.Payload) {
		return actions.WithResource(actions.Permanent(errNotJSON), u.String())
	}
	return actions.WithResource(b.add(ctx, u, header, r), u.String())
}

func (b *batcher) add(ctx context.Context, u *url.URL, header http.Header, r *actions.Request) error {
	key := batchKey{r.Rule, u.String(), r.Topic}
	if b.limits.acrossTopics {
		key.topic = ""
	}
	one, first := b.join(key, r.Payload, header)
	if !first {
		select {
		case <-one.sent:
			return one.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	wait := time.NewTimer(b.limits.open)
	defer wait.Stop()
	var err error
	select {
	case <-one.full:
	case <-wait.C:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	b.mu.Lock()
	b.shut(key, one)
	b.mu.Unlock()
	// Nobody adds to it any more.
	if err == nil {
		one.body.WriteByte(']')
		if err = b.post(ctx, u, one.header, one.body.Bytes()); err != nil {
			err = &BatchError{one.n, err}
		}
	}
	one.err = err
	close(one.sent)
	return err
}

// join adds a payload to the open batch of its key, or to a new one.
func (b *batcher) join(key batchKey, payload []byte, header http.Header) (one *batch, first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one = b.open[key]
	if one != nil && one.body.Len()-one.n+len(payload) > b.limits.bytes { // without bracket and commas
		b.shut(key, one)
		one = nil
	}
	if first = one == nil; first {
		one = &batch{full: make(chan struct{}), sent: make(chan struct{})}
		one.body.WriteByte('[')
		b.open[key] = one
	} else {
		one.body.WriteByte(',')
	}
	one.body.Write(payload)
	one.n++
	one.header = header
	if one.n == b.limits.size || one.body.Len()-one.n >= b.limits.bytes {
		b.shut(key, one)
	}
	return one, first
}

// shut keeps more from being added, and wakes who waits to send. b.mu is held.
func (b *batcher) shut(key batchKey, one *batch) {
	if b.open[key] == one {
		delete(b.open, key)
		close(one.full)
	}
}

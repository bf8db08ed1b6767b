package main

import (
	"errors"
	"sync"
	"time"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/webhook"
	"github.com/thingloom/thingloom/rules"
)

// batches tell the rules of the payloads together that one request of the
// action http carried and that failed for good with it, so that the error
// action runs once, with the document that AWS has for a batch. What fails
// after several attempts was in several batches, and is told by itself.
type batches struct {
	mu   sync.Mutex
	open map[*webhook.BatchError]*failedBatch
}

type failedBatch struct {
	told   []failedPayload
	closed chan struct{} // when all are there, or enough was waited
}

type failedPayload struct {
	firing rules.Firing
	err    error
}

// batchPatience is how long a payload waits for the others of its batch: their
// dead letters are being written. Those of an earlier process never come.
const batchPatience = 2 * time.Second

func newBatches() *batches { return &batches{open: map[*webhook.BatchError]*failedBatch{}} }

// done is Firing.Done. For a payload of a batch it returns once the batch has
// been told, since a request is acknowledged to its queue afterwards: a crash
// in between has it told again and not lost.
func (b *batches) done(f rules.Firing, err error) {
	var of *webhook.BatchError
	if !errors.As(err, &of) || !actions.IsPermanent(err) || of.Payloads < 2 {
		f.Done(outcome(err))
		return
	}
	b.mu.Lock()
	batch := b.open[of]
	if batch == nil {
		batch = &failedBatch{closed: make(chan struct{})}
		b.open[of] = batch
	}
	batch.told = append(batch.told, failedPayload{f, outcome(err)})
	last := len(batch.told) == of.Payloads
	b.mu.Unlock()
	if !last {
		patience := time.NewTimer(batchPatience)
		defer patience.Stop()
		select {
		case <-batch.closed:
			return
		case <-patience.C:
		}
	}
	b.tell(of, batch)
}

// tell reports a batch, once.
func (b *batches) tell(of *webhook.BatchError, batch *failedBatch) {
	b.mu.Lock()
	mine := b.open[of] == batch
	if mine {
		delete(b.open, of)
	}
	b.mu.Unlock()
	if !mine {
		<-batch.closed
		return
	}
	defer close(batch.closed)
	// Payloads whose dead letter could not be written count otherwise.
	for len(batch.told) > 0 {
		var same []rules.Firing
		var rest []failedPayload
		err := batch.told[0].err
		for _, p := range batch.told {
			if errors.Is(p.err, rules.ErrDeadLettered) == errors.Is(err, rules.ErrDeadLettered) {
				same = append(same, p.firing)
			} else {
				rest = append(rest, p)
			}
		}
		rules.DoneAll(same, err)
		batch.told = rest
	}
}

package actionstest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/thingloom/thingloom/actions"
)

func separate(ctx context.Context, b Backend) error {
	other := someone
	other.Owner = "another"
	q, err := b.Queues.OpenQueue(ctx, other, actions.Limits{MaxCount: 1})
	if err != nil {
		return err
	}
	err = use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		if err := errors.Join(push(ctx, q, 7, 8), push(ctx, o, 0, 2)); err != nil {
			return err
		}
		mine, err := pop(ctx, o, 2)
		if err != nil {
			return err
		}
		theirs, err := pop(ctx, q, 1)
		if err != nil {
			return err
		}
		return errors.Join(expect(mine, 0, 1), expect(theirs, 7))
	})
	return errors.Join(err, q.Close())
}

func closes(ctx context.Context, b Backend) error {
	o, err := b.Queues.OpenQueue(ctx, someone, actions.Limits{})
	if err != nil {
		return err
	}
	done := make(chan error, 2)
	for range 2 {
		go func() {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			var buf [1]actions.Entry
			_, err := o.Pop(ctx, buf[:])
			done <- err
		}()
	}
	if err := errors.Join(o.Close(), o.Close()); err != nil {
		return err
	}
	for range 2 {
		if err := <-done; !errors.Is(err, actions.ErrClosed) {
			return fmt.Errorf("Pop: %v", err)
		}
	}
	if err := o.Push(ctx, full(1)); !errors.Is(err, actions.ErrClosed) {
		return fmt.Errorf("Push: %v", err)
	}
	return nil
}

func once(ctx context.Context, b Backend) error {
	const pushers, poppers, each = 4, 4, 100
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		var mu sync.Mutex
		seen := map[string]int{}
		var errs []error
		report := func(err error) {
			if err == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		}
		var wg sync.WaitGroup
		for p := range pushers {
			wg.Go(func() { report(push(ctx, o, p*each, (p+1)*each)) })
		}
		enough, stop := context.WithCancel(ctx)
		defer stop()
		for range poppers {
			wg.Go(func() {
				var buf [7]actions.Entry
				for {
					n, err := o.Pop(enough, buf[:])
					if err != nil {
						return
					}
					report(o.Ack(buf[:n]))
					mu.Lock()
					for i := range buf[:n] {
						seen[buf[i].Request.ID]++
					}
					if len(seen) == pushers*each {
						stop()
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		for id, n := range seen {
			if n != 1 {
				errs = append(errs, fmt.Errorf("%s was given %d times", id, n))
			}
		}
		if len(seen) != pushers*each {
			errs = append(errs, fmt.Errorf("%d of %d were given", len(seen), pushers*each))
		}
		if n, _ := o.Size(); n != 0 {
			errs = append(errs, fmt.Errorf("size %d at the end", n))
		}
		return errors.Join(errs...)
	})
}

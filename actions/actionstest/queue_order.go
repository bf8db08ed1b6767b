package actionstest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/thingloom/thingloom/actions"
)

func roundTrip(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		called := 0
		r := full(7)
		r.Done = func(error) { called++ }
		if err := o.Push(ctx, r); err != nil {
			return err
		}
		all, err := pop(ctx, o, 1)
		if err != nil {
			return err
		}
		if err := differs(&all[0].Request, r); err != nil {
			return err
		}
		if all[0].Request.Done != nil {
			all[0].Request.Done(nil)
		}
		if (called == 1) == all[0].Lost {
			return fmt.Errorf("Done called %d times, Lost %v", called, all[0].Lost)
		}
		return nil
	})
}

func order(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		if err := push(ctx, o, 0, 5); err != nil {
			return err
		}
		all, err := pop(ctx, o, 2)
		if err != nil {
			return err
		}
		if err := push(ctx, o, 5, 200); err != nil {
			return err
		}
		rest, err := pop(ctx, o, 198)
		if err != nil {
			return err
		}
		want := make([]int, 200)
		for i := range want {
			want[i] = i
		}
		return expect(append(all, rest...), want...)
	})
}

func copied(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		r := full(1)
		if err := o.Push(ctx, r); err != nil {
			return err
		}
		*r = *full(2)
		all, err := pop(ctx, o, 1)
		if err != nil {
			return err
		}
		return expect(all, 1)
	})
}

func waits(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		var buf [1]actions.Entry
		if n, err := o.Pop(short, buf[:]); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("Pop of an empty queue: %d, %v", n, err)
		}
		type result struct {
			all []actions.Entry
			err error
		}
		got := make(chan result, 1)
		go func() {
			all, err := pop(ctx, o, 1)
			got <- result{all, err}
		}()
		if err := push(ctx, o, 0, 1); err != nil {
			return err
		}
		r := <-got
		if r.err != nil {
			return r.err
		}
		return expect(r.all, 0)
	})
}

func popCancelled(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		gone, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() {
			var buf [1]actions.Entry
			_, err := o.Pop(gone, buf[:])
			done <- err
		}()
		cancel()
		late := time.NewTimer(5 * time.Second)
		defer late.Stop()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				return fmt.Errorf("got %v", err)
			}
			return nil
		case <-late.C:
			return errors.New("still waiting after 5 s")
		}
	})
}

func pushCancelled(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if err := o.Push(gone, full(1)); !errors.Is(err, context.Canceled) {
			return fmt.Errorf("got %v", err)
		}
		if n, size := o.Size(); n != 0 || size != 0 {
			return fmt.Errorf("size %d, %d", n, size)
		}
		return nil
	})
}

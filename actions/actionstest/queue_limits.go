package actionstest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/thingloom/thingloom/actions"
)

func count(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{MaxCount: 2}, func(o actions.Queue) error {
		if err := push(ctx, o, 0, 2); err != nil {
			return err
		}
		all, err := pop(ctx, o, 1)
		if err != nil {
			return err
		}
		if err := o.Push(ctx, full(9)); !errors.Is(err, actions.ErrQueueFull) {
			return fmt.Errorf("the third: %v", err)
		}
		if err := o.Ack(all); err != nil {
			return err
		}
		if err := push(ctx, o, 2, 3); err != nil {
			return err
		}
		if all, err = pop(ctx, o, 2); err != nil {
			return err
		}
		return expect(all, 1, 2)
	})
}

func maxBytes(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{MaxBytes: 10_000}, func(o actions.Queue) error {
		big := full(1)
		big.Payload = make([]byte, 6000)
		if err := o.Push(ctx, big); err != nil {
			return err
		}
		if _, size := o.Size(); size < 6000 || size > 10_000 {
			return fmt.Errorf("size %d", size)
		}
		if err := o.Push(ctx, big); !errors.Is(err, actions.ErrQueueFull) {
			return fmt.Errorf("the second: %v", err)
		}
		all, err := pop(ctx, o, 1)
		if err != nil {
			return err
		}
		if err := o.Ack(all); err != nil {
			return err
		}
		return o.Push(ctx, big)
	})
}

func unlimited(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{MaxCount: -1, MaxBytes: -1, MaxAge: -1}, func(o actions.Queue) error {
		if err := push(ctx, o, 0, 3); err != nil {
			return err
		}
		all, err := pop(ctx, o, 3)
		if err != nil {
			return err
		}
		return expect(all, 0, 1, 2)
	})
}

func age(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{MaxAge: time.Nanosecond}, func(o actions.Queue) error {
		if err := push(ctx, o, 0, 1); err != nil {
			return err
		}
		<-time.After(2 * time.Millisecond) // the clock may be coarse
		all, err := pop(ctx, o, 1)
		if err != nil {
			return err
		}
		if !errors.Is(all[0].Err, actions.ErrExpired) || all[0].Request.ID != "0" {
			return fmt.Errorf("got %q, %v", all[0].Request.ID, all[0].Err)
		}
		return o.Ack(all)
	})
}

func anyOrder(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		if err := push(ctx, o, 0, 3); err != nil {
			return err
		}
		all, err := pop(ctx, o, 3)
		if err != nil {
			return err
		}
		for left, i := range []int{2, 0, 1} {
			if n, _ := o.Size(); n != 3-left {
				return fmt.Errorf("size %d, want %d", n, 3-left)
			}
			if err := o.Ack(all[i : i+1]); err != nil {
				return err
			}
		}
		if n, size := o.Size(); n != 0 || size != 0 {
			return fmt.Errorf("size %d, %d at the end", n, size)
		}
		return nil
	})
}

package actionstest

import (
	"context"
	"errors"
	"fmt"

	"github.com/thingloom/thingloom/actions"
)

func durable(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		if o.Durable() != (b.Reopen != nil) {
			return fmt.Errorf("Durable is %v", o.Durable())
		}
		return nil
	})
}

func reopen(ctx context.Context, b Backend) error {
	err := use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		if err := push(ctx, o, 0, 4); err != nil {
			return err
		}
		_, err := pop(ctx, o, 2)
		return err
	})
	if err != nil {
		return err
	}
	q, err := b.Reopen()
	if err != nil {
		return err
	}
	return use(ctx, q, actions.Limits{}, func(o actions.Queue) error {
		if n, size := o.Size(); n != 4 || size <= 0 {
			return fmt.Errorf("size %d, %d", n, size)
		}
		all, err := pop(ctx, o, 4)
		if err != nil {
			return err
		}
		if err := expect(all, 0, 1, 2, 3); err != nil {
			return err
		}
		for i := range all {
			if !all[i].Lost || all[i].Request.Done != nil {
				return fmt.Errorf("entry %d: Lost %v", i, all[i].Lost)
			}
			if err := differs(&all[i].Request, full(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

func settledStays(ctx context.Context, b Backend) error {
	err := use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		if err := push(ctx, o, 0, 4); err != nil {
			return err
		}
		all, err := pop(ctx, o, 4)
		if err != nil {
			return err
		}
		return errors.Join(o.Ack(all[3:4]), o.Ack(all[1:2]))
	})
	if err != nil {
		return err
	}
	q, err := b.Reopen()
	if err != nil {
		return err
	}
	return use(ctx, q, actions.Limits{}, func(o actions.Queue) error {
		n, _ := o.Size()
		all, err := pop(ctx, o, n)
		if err != nil {
			return err
		}
		return expect(all, 0, 2)
	})
}

func stored(ctx context.Context, b Backend) error {
	for i := range 3 {
		id := someone
		id.Owner = fmt.Sprint(i)
		o, err := b.Queues.OpenQueue(ctx, id, actions.Limits{})
		if err != nil {
			return err
		}
		if err := push(ctx, o, 0, i); err != nil {
			return err
		}
		if i == 1 {
			all, err := pop(ctx, o, 1)
			if err == nil {
				err = o.Ack(all)
			}
			if err != nil {
				return err
			}
		}
		if err := o.Close(); err != nil {
			return err
		}
	}
	q, err := b.Reopen()
	if err != nil {
		return err
	}
	var got []actions.Identity
	for id, err := range q.Stored(ctx) {
		if err != nil {
			return err
		}
		got = append(got, id)
	}
	want := someone
	want.Owner = "2"
	if len(got) != 1 || got[0].ID() != want.ID() || got[0].Action != want.Action || got[0].Owner != want.Owner {
		return fmt.Errorf("got %+v, want %+v alone", got, want)
	}
	return nil
}

func goesOn(ctx context.Context, b Backend) error {
	var last uint64
	err := use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		if err := push(ctx, o, 0, 2); err != nil {
			return err
		}
		all, err := pop(ctx, o, 2)
		if err != nil {
			return err
		}
		last = all[0].Seq
		return o.Ack(all[1:])
	})
	if err != nil {
		return err
	}
	q, err := b.Reopen()
	if err != nil {
		return err
	}
	return use(ctx, q, actions.Limits{}, func(o actions.Queue) error {
		if err := push(ctx, o, 5, 6); err != nil {
			return err
		}
		all, err := pop(ctx, o, 2)
		if err != nil {
			return err
		}
		if all[1].Seq <= last {
			return fmt.Errorf("number %d after %d", all[1].Seq, last)
		}
		return expect(all, 0, 5)
	})
}

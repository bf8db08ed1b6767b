package fleetindex

import (
	"context"
	"errors"
	"fmt"

	"github.com/thingloom/thingloom/registry"
)

// Run builds the index when that is called for: after SetConfig, and where the
// last process has not closed it. It blocks until ctx is done and returns nil
// then, or the error of a build.
func (ix *Index) Run(ctx context.Context) error {
	for {
		select {
		case <-ix.build:
			if err := ix.Rebuild(ctx); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// Rebuild has an empty index fed, which mends whatever was missed, and takes it in place of that which there is.
// Until then searches find what there was and all changes since, unless the index is Building. It needs twice the place
// meanwhile.
func (ix *Index) Rebuild(ctx context.Context) error {
	ix.rebuilding.Lock()
	defer ix.rebuilding.Unlock()
	c := ix.Config()
	ix.opts.Logger.Info("fleet index is built")
	if err := ix.rebuild(ctx, c); err != nil {
		return fmt.Errorf("fleetindex: rebuild: %w", err)
	}
	for {
		old := ix.state.Load()
		if old.config.indexes(c) { // another build is asked for
			break
		}
		if ix.state.CompareAndSwap(old, &state{old.config, Active}) {
			break
		}
	}
	ix.opts.Logger.Info("fleet index is there")
	return nil
}

func (ix *Index) rebuild(ctx context.Context, c Config) error {
	old := ix.spaces.Load().read
	fresh := old.other()
	if err := fresh.clear(ctx); err != nil {
		return err
	}
	during := &spaces{old, []*space{old, fresh}}
	if ix.Status() == Building { // nobody searches the old one, which may be of another Config
		during.write = during.write[1:]
	}
	nothing := func() error { return nil }
	if err := ix.use(during, nothing); err != nil {
		return err
	}
	err := error(nil)
	if c.Things && ix.opts.Feed != nil {
		err = ix.opts.Feed(ctx, ix)
	}
	if err == nil {
		err = ix.use(&spaces{fresh, []*space{fresh}}, func() error {
			format := registry.Op{Key: keyFormat, Value: []byte(format), Prev: registry.Any}
			if ix.Config().indexes(c) { // it is not yet what is to be
				format.Value = nil
			}
			return ix.store.Apply(ctx, format, registry.Op{Key: keySpace, Value: []byte(fresh.prefix), Prev: registry.Any})
		})
	}
	if err != nil {
		return errors.Join(err, ix.use(&spaces{old, []*space{old}}, nothing))
	}
	if err := old.retire(ctx); err != nil {
		return nil // Open clears it
	}
	return old.clear(ctx)
}

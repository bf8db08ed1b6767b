package brokerpebble

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/internal/topic"
)

// SetRetained implements [broker.RetainedStore].
func (s *Store) SetRetained(ctx context.Context, m broker.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkMessage(&m); err != nil {
		return err
	}
	key := s.keys.retained(m.Topic)
	var err error
	if len(m.Payload) == 0 {
		err = s.db.Delete(key, pebble.Sync) // [MQTT-3.3.1-6]
	} else {
		err = s.db.Set(key, appendMessage(nil, &m), pebble.Sync)
	}
	if err != nil {
		return fmt.Errorf("brokerpebble: retain %q: %w", m.Topic, err)
	}
	return nil
}

// Retained implements [broker.RetainedStore]. A record that cannot be read is
// yielded as a [*CorruptError]; the ones behind it follow.
func (s *Store) Retained(ctx context.Context, filter string) iter.Seq2[broker.Message, error] {
	return func(yield func(broker.Message, error) bool) {
		var err error
		if strings.ContainsAny(filter, "+#") {
			err = s.retainedMatching(ctx, filter, yield)
		} else {
			err = s.retainedExact(ctx, filter, yield)
		}
		if err != nil {
			yield(broker.Message{}, fmt.Errorf("brokerpebble: retained %q: %w", filter, err))
		}
	}
}

func (s *Store) retainedExact(ctx context.Context, name string, yield func(broker.Message, error) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key := s.keys.retained(name)
	record, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := decodeMessage(key[len(s.keys.prefix):], record)
	if cerr := closer.Close(); cerr != nil {
		return cerr
	}
	s.countCorrupt(err)
	yield(m, err)
	return nil
}

func (s *Store) retainedMatching(ctx context.Context, filter string, yield func(broker.Message, error) bool) error {
	lower, upper := s.keys.bounds('r')
	base := len(lower)
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer it.Close()
	ok := it.First()
	for ok {
		if err := ctx.Err(); err != nil {
			return err
		}
		match, to := topic.MatchOrSkip(filter, string(it.Key()[base:]))
		switch {
		case match:
			record, err := it.ValueAndErr()
			if err != nil {
				return err
			}
			m, err := decodeMessage(it.Key()[len(s.keys.prefix):], record)
			s.countCorrupt(err)
			if !yield(m, err) {
				return nil
			}
			ok = it.Next()
		case to == "":
			ok = it.Next()
		case to == topic.End:
			return nil
		default:
			ok = it.SeekGE(append(lower[:base:base], to...))
		}
	}
	return it.Error()
}

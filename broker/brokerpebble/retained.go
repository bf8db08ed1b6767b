package brokerpebble

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/thingloom/thingloom/broker"
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

func (s *Store) retainedExact(ctx context.Context, topic string, yield func(broker.Message, error) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key := s.keys.retained(topic)
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
		match, to := matchOrSkip(filter, string(it.Key()[base:]))
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
		case to == theEnd:
			return nil
		default:
			ok = it.SeekGE(append(lower[:base:base], to...))
		}
	}
	return it.Error()
}

// theEnd, from matchOrSkip, says that no topic from here on matches. No topic
// begins with it, since 0xff does not occur in UTF-8.
const theEnd = "\xff"

// matchOrSkip tells whether topic matches filter. If it does not, no topic
// between it and to matches either, to itself may; an empty to promises nothing.
//
// The order is that of bytes, in which the topics below "a/" lie together, but
// "a" does not stand beside them: "a", "a-b", "a/b".
func matchOrSkip(filter, topic string) (match bool, to string) {
	if strings.HasPrefix(topic, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return false, "%" // [MQTT-4.7.2-1]; '%' is the byte after '$'
	}
	f, at := filter, 0 // the levels before f and topic[at:] match
	for {
		level, restF, moreF := strings.Cut(f, "/")
		if level == "#" {
			return true, ""
		}
		own, _, moreT := strings.Cut(topic[at:], "/")
		if level != "+" && level != own {
			return false, skipTo(topic, at, level, moreF)
		}
		switch {
		case !moreF && !moreT:
			return true, ""
		case !moreF:
			// Deeper than the filter: so is all else below this level.
			return false, topic[:at+len(own)] + "0" // the byte after '/'
		case !moreT && restF == "#":
			return true, "" // "a/#" matches "a" [MQTT-4.7.1-2]
		case !moreT:
			return false, "" // the topics below it come later, not next
		}
		f, at = restF, at+len(own)+1
	}
}

// skipTo is where to go from a topic that ought to have level at a place and
// has another: to that level, below it, or behind all that share the part
// before it.
func skipTo(topic string, at int, level string, more bool) string {
	for _, to := range []string{level, level + "/"} {
		if to = topic[:at] + to; to > topic {
			return to
		}
		if !more {
			break
		}
	}
	if at == 0 {
		return theEnd
	}
	return topic[:at-1] + "0"
}

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/table"
	"github.com/thingloom/thingloom/telemetry"
)

// A threshold is a row of the table "thresholds": under the name of a thing, or
// under "*" for all that have none.
type threshold struct {
	Max float64 `json:"max"`
	// CooldownSeconds is how long nothing more is sent for the thing after a
	// notification. Zero sends one for each reading above Max.
	CooldownSeconds float64 `json:"cooldownSeconds"`
}

// checkThreshold is the function of scenario 1. Its event is
//
//	{"thing":"sensor-1","temperature":31.5}
func (b *backend) checkThreshold(ctx context.Context, event []byte) ([]byte, error) {
	var e struct {
		Thing       string
		Temperature json.Number
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return nil, actions.Permanent(fmt.Errorf("reading %.200s: %w", event, err))
	}
	temperature, err := e.Temperature.Float64()
	if err != nil || e.Thing == "" {
		return nil, actions.Permanent(fmt.Errorf("reading %.200s has no thing or no temperature", event))
	}
	row, err := b.tables.Get(ctx, "thresholds", e.Thing, "")
	if errors.Is(err, table.ErrNotFound) {
		row, err = b.tables.Get(ctx, "thresholds", "*", "")
	}
	if errors.Is(err, table.ErrNotFound) {
		return []byte(`{"notified":false}`), nil
	}
	if err != nil {
		return nil, err
	}
	var limit threshold
	if err := json.Unmarshal(row, &limit); err != nil {
		return nil, actions.Permanent(fmt.Errorf("threshold of %s: %w", e.Thing, err))
	}
	if temperature <= limit.Max {
		return []byte(`{"notified":false}`), nil
	}
	sent, err := b.notifier.notify(ctx, notification{
		Thing: e.Thing, Time: time.Now().UnixMilli(), Temperature: e.Temperature, Max: limit.Max,
		Message: fmt.Sprintf("%s: %s is above %v", e.Thing, e.Temperature, limit.Max),
	}, time.Duration(limit.CooldownSeconds*float64(time.Second)))
	return fmt.Appendf(nil, `{"notified":%v}`, sent), err
}

// A notification is what the page shows and what is pushed.
type notification struct {
	Thing       string      `json:"thing"`
	Message     string      `json:"message"`
	Time        int64       `json:"time"`                  // ms since 1970
	Temperature json.Number `json:"temperature,omitempty"` // of readings above Max
	Max         float64     `json:"max,omitempty"`
}

// A notifier keeps notifications in a table, shows them live and pushes them.
type notifier struct {
	tables *table.Tables
	live   *telemetry.Live
	push   actions.Action // nil without a push server
}

func newNotifier(tables *table.Tables) *notifier {
	return &notifier{tables: tables, live: telemetry.NewLive(nil)}
}

func (n *notifier) notify(ctx context.Context, what notification, cooldown time.Duration) (sent bool, err error) {
	if cooldown > 0 {
		last, err := n.tables.Get(ctx, "last-notifications", what.Thing, "")
		if err != nil && !errors.Is(err, table.ErrNotFound) {
			return false, err
		}
		var before notification
		if err == nil && json.Unmarshal(last, &before) == nil && what.Time-before.Time < cooldown.Milliseconds() {
			return false, nil
		}
	}
	text, err := json.Marshal(what)
	if err != nil {
		return false, actions.Permanent(err)
	}
	if n.push != nil {
		// Into the durable queue of the action: from here on it is retried.
		if err := n.push.Do(ctx, &actions.Request{Payload: text, Source: text, Time: time.UnixMilli(what.Time)}); err != nil {
			return false, err
		}
	}
	err = errors.Join(n.keep(ctx, what.Thing, what), n.tables.Put(ctx, "last-notifications", what.Thing, "", text))
	return true, err
}

// keep puts a notification into the table, under its time and sort, and shows it.
func (n *notifier) keep(ctx context.Context, sort string, what notification) error {
	text, err := json.Marshal(what)
	if err != nil {
		return actions.Permanent(err)
	}
	if err := n.tables.Put(ctx, "notifications", strconv.FormatInt(what.Time, 10), sort, text); err != nil {
		return err
	}
	return n.live.Write(ctx, telemetry.Batch{Records: []telemetry.Record{{Key: what.Thing, Time: time.UnixMilli(what.Time), Value: text}}})
}

// recent are the last notifications of the last day, oldest first.
func (n *notifier) recent(ctx context.Context, most int) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	for row, err := range n.tables.Rows(ctx, "notifications", table.Range{AfterKey: strconv.FormatInt(time.Now().Add(-24*time.Hour).UnixMilli(), 10)}) {
		if err != nil {
			return nil, err
		}
		all = append(all, row.Item)
	}
	return all[max(0, len(all)-most):], nil
}

// number parses text, or is otherwise.
func number(text string, otherwise int) int {
	n, err := strconv.Atoi(cmp.Or(text, strconv.Itoa(otherwise)))
	if err != nil {
		return otherwise
	}
	return n
}

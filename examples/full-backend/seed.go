package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/thingloom/thingloom/actions/table"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/rules"
)

// firstDevice is made on the first start, for the commands that are printed.
const firstDevice = "sensor-1"

// seed makes what a fresh backend needs and leaves alone what is there: rules
// that were changed or disabled stay so.
func (b *backend) seed(ctx context.Context) error {
	if _, err := b.registry.CreatePolicy(ctx, "device", devicePolicy); err != nil && !errors.Is(err, registry.ErrExists) {
		return fmt.Errorf("policy: %w", err)
	}
	if _, _, err := b.deviceFiles(ctx, firstDevice); err != nil {
		return fmt.Errorf("first device: %w", err)
	}
	if _, err := b.tables.Get(ctx, "thresholds", "*", ""); errors.Is(err, table.ErrNotFound) {
		row, err := json.Marshal(threshold{Max: b.cfg.Threshold})
		if err != nil {
			return err
		}
		if err := b.tables.Put(ctx, "thresholds", "*", "", row); err != nil {
			return err
		}
	}
	for _, r := range []rules.Rule{{
		Name:        "threshold",
		Description: "compares each temperature with the threshold of its thing",
		SQL:         "SELECT topic(2) AS thing, temperature FROM 'sensors/+/climate' WHERE isUndefined(temperature) = false",
		Actions:     []rules.ActionSpec{{Type: "function", Params: json.RawMessage(`{"name":"check-threshold"}`)}},
	}, {
		Name:        "telemetry",
		Description: "puts each reading into the telemetry stream",
		SQL:         "SELECT *, topic(2) AS thing FROM 'sensors/+/climate'",
		Actions:     []rules.ActionSpec{{Type: "stream", Params: json.RawMessage(`{"key":"${topic(2)}","time":"${ts}"}`)}},
		ErrorAction: &rules.ActionSpec{Type: "table", Params: json.RawMessage(`{"table":"rule-errors","key":"telemetry","sort":"${timestamp()}-${newuuid()}"}`)},
	}} {
		if _, err := b.engine.Create(ctx, r); err != nil && !errors.Is(err, rules.ErrExists) {
			return fmt.Errorf("rule %s: %w", r.Name, err)
		}
	}
	return nil
}

package log

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/thingloom/thingloom/actions"
)

// CloudWatchParams are the parameters of the cloudwatchLogs action of AWS IoT.
type CloudWatchParams struct {
	LogGroupName actions.Template `json:"logGroupName" required:"true" doc:"what the lines have as log_group, 1 to 512 bytes"`
	BatchMode    bool             `json:"batchMode" doc:"the payload is an array of objects with timestamp (milliseconds since 1970) and message, a line each"`
	RoleARN      actions.RoleARN  `json:"roleArn" required:"true" doc:"kept with the rule; nobody assumes it"`
}

// CloudWatchSpec returns the plugin "cloudwatchLogs": the action of AWS IoT with
// its parameters, so that rules can be copied. Lines go to logger at level info,
// with log_group, rule, topic and client_id; the line's text is the payload, or
// with batchMode a message each, at the time of its timestamp. At most
// Options.MaxBytes of a text are written. It runs inline.
func CloudWatchSpec(logger *slog.Logger, opts *Options) actions.Spec {
	limit := opts.limit()
	s := actions.NewSpec("cloudwatchLogs", "write lines to the program's log, named as by AWS", func(_ context.Context, p *CloudWatchParams) (actions.Action, error) {
		if logger == nil {
			return nil, errors.New("log: no logger")
		}
		if group, constant := p.LogGroupName.Constant(); constant {
			if err := checkGroup(group); err != nil {
				return nil, &actions.ParamError{Path: "logGroupName", Err: err}
			}
		}
		return actions.Func(func(ctx context.Context, r *actions.Request) error {
			group, err := p.LogGroupName.Expand(ctx, r)
			if err != nil {
				return err
			}
			if err := checkGroup(group); err != nil {
				return actions.WithResource(actions.Permanent(fmt.Errorf("cloudwatchLogs: logGroupName: %w", err)), group)
			}
			lines := []line{{r.Time, string(r.Payload)}}
			if p.BatchMode {
				if lines, err = batch(r.Payload); err != nil {
					return actions.WithResource(actions.Permanent(fmt.Errorf("cloudwatchLogs: batchMode: %w", err)), group)
				}
			}
			if !logger.Enabled(ctx, slog.LevelInfo) {
				return nil
			}
			for _, l := range lines {
				text := l.text
				if len(text) > limit {
					text = text[:limit]
				}
				record := slog.NewRecord(l.time, slog.LevelInfo, text, 0)
				record.AddAttrs(slog.String("log_group", group), slog.String("rule", r.Rule), slog.String("topic", r.Topic), slog.String("client_id", r.ClientID))
				if len(text) < len(l.text) {
					record.AddAttrs(slog.Int("message_bytes", len(l.text)))
				}
				if err := logger.Handler().Handle(ctx, record); err != nil {
					return actions.WithResource(fmt.Errorf("cloudwatchLogs: %w", err), group)
				}
			}
			return nil
		}), nil
	})
	s.Inline = true
	return s
}

func checkGroup(name string) error {
	if name == "" || len(name) > 512 {
		return fmt.Errorf("a name of %d bytes, 1 to 512 are allowed", len(name))
	}
	return nil
}

type line struct {
	time time.Time
	text string
}

// batch reads all lines before one is written.
func batch(payload []byte) ([]line, error) {
	var events []struct {
		Timestamp *json.Number
		Message   *string
	}
	if !bytes.HasPrefix(bytes.TrimLeft(payload, " \t\r\n"), []byte("[")) {
		return nil, errors.New("the payload is no array")
	}
	if err := json.Unmarshal(payload, &events); err != nil {
		return nil, fmt.Errorf("the payload is no array of objects with timestamp and message: %w", err)
	}
	lines := make([]line, len(events))
	for i, e := range events {
		if e.Timestamp == nil || e.Message == nil {
			return nil, fmt.Errorf("element %d has no timestamp or no message", i)
		}
		ms, err := e.Timestamp.Int64()
		if err != nil {
			return nil, fmt.Errorf("element %d: timestamp %.40s is no whole number of milliseconds", i, *e.Timestamp)
		}
		lines[i] = line{time.UnixMilli(ms), *e.Message}
	}
	return lines, nil
}

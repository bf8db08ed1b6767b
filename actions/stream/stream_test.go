package stream_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/stream"
)

type putter struct {
	key, value string
	at         time.Time
	err        error
}

func (p *putter) Put(_ context.Context, key string, t time.Time, value []byte) error {
	p.key, p.at, p.value = key, t, string(value)
	return p.err
}

func TestPut(t *testing.T) {
	accepted, event := time.UnixMilli(5), time.UnixMilli(1700000000123)
	full := errors.New("full")
	for _, tt := range []struct {
		name, params, source string
		err                  error
		key                  string
		at                   time.Time
		want                 string
	}{
		{"accepted time", `{"key":"${topic(2)}"}`, `{}`, nil, "s1", accepted, ""},
		{"event time", `{"key":"k","time":"${ts}"}`, `{"ts":1700000000123}`, nil, "k", event, ""},
		{"no event time in the message", `{"key":"k","time":"${ts}"}`, `{}`, nil, "k", accepted, ""},
		{"event time that is no number", `{"key":"k","time":"${ts}"}`, `{"ts":"noon"}`, nil, "", time.Time{}, "whole milliseconds"},
		{"no key", `{"key":"${id}"}`, `{}`, nil, "", time.Time{}, "empty"},
		{"stream fails", `{"key":"k"}`, `{}`, full, "k", accepted, "full"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &putter{err: tt.err}
			a, err := stream.Spec(p, nil).Open(t.Context(), json.RawMessage(tt.params))
			if err != nil {
				t.Fatal(err)
			}
			err = a.Do(t.Context(), &actions.Request{Topic: "sensors/s1", Time: accepted, Payload: []byte(`{"x":1}`), Source: []byte(tt.source)})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if p.key != tt.key || !p.at.Equal(tt.at) {
				t.Errorf("put %q at %v", p.key, p.at)
			}
		})
	}
}

func TestRefusedIsPermanent(t *testing.T) {
	bad := errors.New("bad record")
	s := stream.Spec(&putter{err: bad}, &stream.Options{Name: "archive", Refused: func(err error) bool { return errors.Is(err, bad) }})
	if s.Name != "archive" {
		t.Errorf("name is %q", s.Name)
	}
	a, err := s.Open(t.Context(), json.RawMessage(`{"key":"k"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Do(t.Context(), &actions.Request{Payload: []byte(`{}`)}); !actions.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

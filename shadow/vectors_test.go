package shadow_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/thingloom/thingloom/internal/vectors"
	"github.com/thingloom/thingloom/shadow"
)

// A vector is one entry of conformance/shadow, see its README.
type vector struct {
	Steps []step
	Want  []want
}

type step struct {
	Op, Thing, Shadow string
	Request           json.RawMessage
	Raw               *string
	Now               int64
}

type want struct {
	Accepted, Rejected, Delta json.RawMessage
	Documents                 *json.RawMessage
}

func (s step) payload() []byte {
	if s.Raw != nil {
		return []byte(*s.Raw)
	}
	return s.Request
}

func TestVectorsShadow(t *testing.T) {
	vectors.Run(t, "shadow", nil, func(v vectors.Vector) error {
		var vec vector
		if err := json.Unmarshal(v.Raw, &vec); err != nil {
			return err
		}
		now := time.Unix(0, 0)
		svc, err := shadow.New(shadow.NewMemStore(), &shadow.Options{Now: func() time.Time { return now }})
		if err != nil {
			return err
		}
		for i, s := range vec.Steps {
			now = time.Unix(s.Now, 0)
			if err := check(svc, s, vec.Want[i]); err != nil {
				return fmt.Errorf("step %d: %w", i, err)
			}
		}
		return nil
	})
}

func check(svc *shadow.Service, s step, w want) error {
	ctx, ref := context.Background(), shadow.Ref{Thing: s.Thing, Name: s.Shadow}
	var accepted, delta, documents []byte
	var err error
	switch s.Op {
	case "update":
		var c shadow.Change
		if c, err = svc.Update(ctx, ref, s.payload()); err == nil {
			accepted, delta, documents = c.Accepted(), c.DeltaMessage(), c.Documents()
		}
	case "get", "delete":
		var token string
		parse := shadow.ParseToken
		if s.Op == "delete" {
			parse = shadow.ParseDelete
		}
		if token, err = parse(s.payload(), svc.Limits()); err != nil {
			break
		}
		if s.Op == "delete" {
			var c shadow.Change
			if c, err = svc.DeleteToken(ctx, ref, token); err == nil {
				accepted = c.Accepted()
			}
			break
		}
		var doc shadow.Document
		if doc, err = svc.Get(ctx, ref); err == nil {
			accepted, err = doc.Answer(svc.Now(), token)
		}
	default:
		return fmt.Errorf("unknown op %q", s.Op)
	}
	var rejected []byte
	if err != nil {
		rejected = shadow.Rejected(err, svc.Now())
		// A get or delete that is refused echoes its token too.
		if token, bad := shadow.ParseToken(s.payload(), svc.Limits()); bad == nil && token != "" && s.Op != "update" {
			rejected = shadow.RejectedToken(err, svc.Now(), token)
		}
	}
	if err := compare("accepted", accepted, w.Accepted); err != nil {
		return err
	}
	if err := compare("rejected", rejected, w.Rejected); err != nil {
		return err
	}
	if err := compare("delta", delta, w.Delta); err != nil {
		return err
	}
	if w.Documents != nil {
		return compare("documents", documents, *w.Documents)
	}
	return nil
}

// compare holds every member of want against got; clientToken has to be
// absent where want has none.
func compare(what string, got, want json.RawMessage) error {
	if len(want) == 0 || string(want) == "null" {
		if got != nil {
			return fmt.Errorf("%s is %s, want none", what, got)
		}
		return nil
	}
	if got == nil {
		return fmt.Errorf("no %s, want %s", what, want)
	}
	var g, w map[string]json.RawMessage
	if err := json.Unmarshal(got, &g); err != nil {
		return fmt.Errorf("%s %s: %w", what, got, err)
	}
	if err := json.Unmarshal(want, &w); err != nil {
		return err
	}
	if _, has := g["clientToken"]; has && w["clientToken"] == nil {
		return fmt.Errorf("%s %s has a client token", what, got)
	}
	for name, value := range w {
		if !sameJSON(g[name], value, what == "documents") {
			return fmt.Errorf("%s is\n%s, want %s to be\n%s", what, got, name, value)
		}
	}
	return nil
}

// sameJSON compares values; within documents members that want leaves out are not checked.
func sameJSON(got, want json.RawMessage, partial bool) bool {
	var g, w any
	if json.Unmarshal(got, &g) != nil || json.Unmarshal(want, &w) != nil {
		return false
	}
	if gm, ok := g.(map[string]any); ok && partial {
		wm, ok := w.(map[string]any)
		for name, value := range wm {
			ok = ok && reflect.DeepEqual(gm[name], value)
		}
		return ok
	}
	return reflect.DeepEqual(g, w)
}

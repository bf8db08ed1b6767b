package rules

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/thingloom/thingloom/internal/sql"
	"github.com/thingloom/thingloom/internal/vectors"
)

// vector is one entry of the folder rules, see its README.
type vector struct {
	SQL        string
	SQLVersion string
	Template   *string
	Topic      string
	Payload    json.RawMessage
	Want       json.RawMessage
	Tolerance  float64
	Context    struct {
		ClientID, Principal, SourceIP, TraceID, AccountID, RuleName string
		Timestamp                                                   *int64
		MQTT                                                        struct {
			ContentType, ResponseTopic, PayloadFormatIndicator string
			CorrelationData                                    []byte
			UserProperties                                     []struct{ Key, Value string }
		}
	}
}

// special is what a JSON value of one member with a $ stands for.
type special struct {
	Base64       *string `json:"$base64"`
	NoMatch      bool    `json:"$nomatch"`
	CompileError bool    `json:"$compileError"`
}

func TestVectorsRules(t *testing.T) {
	vectors.Run(t, "rules", nil, checkVector)
}

// TestVectorsMore: vectors of our own, each derived from a sentence of the
// specification that those of the project do not try.
func TestVectorsMore(t *testing.T) {
	vectors.RunMore(t, "testdata/vectors", checkVector)
}

func checkVector(raw vectors.Vector) error {
	var v vector
	if err := json.Unmarshal(raw.Raw, &v); err != nil {
		return err
	}
	var want special
	_ = json.Unmarshal(v.Want, &want) // most are not special
	m, err := v.message()
	if err != nil {
		return err
	}
	q := new(Query)
	if v.Template == nil || v.SQL != "" {
		if q, err = Compile(v.SQL, &CompileOptions{Version: v.SQLVersion, AccountID: v.Context.AccountID}); err != nil {
			var se *SyntaxError
			if !want.CompileError {
				return err
			}
			if !errors.As(err, &se) {
				if v.SQLVersion == "" {
					return err
				}
				return nil // a version that there is not
			}
			if se.Offset < 0 || se.Offset > len(v.SQL) || se.Line < 1 || se.Column < 1 || se.Snippet == "" {
				return fmt.Errorf("the place of the error is outside of the text: %+v", se)
			}
			return nil
		}
		if want.CompileError && v.Template == nil {
			return errors.New("compiled, want an error")
		}
	}
	if v.Template != nil {
		return v.expand(q, m, want)
	}
	if v.Context.RuleName == "" && !q.MatchTopic(m.Topic) {
		return v.check(nil, false, want)
	}
	out, matched, err := q.Eval(context.Background(), m)
	if err != nil && !(want.NoMatch && errors.Is(err, ErrNotJSON)) { // an evaluation that fails runs no action
		return err
	}
	return v.check(out, matched, want)
}

func (v *vector) message() (*Message, error) {
	c := &v.Context
	m := &Message{Topic: v.Topic, ClientID: c.ClientID, Principal: c.Principal, SourceIP: c.SourceIP, TraceID: c.TraceID}
	m.Payload = v.Payload
	var p special
	if json.Unmarshal(v.Payload, &p) == nil && p.Base64 != nil {
		var err error
		if m.Payload, err = base64.StdEncoding.DecodeString(*p.Base64); err != nil {
			return nil, err
		}
	}
	if c.Timestamp != nil {
		m.Time = time.UnixMilli(*c.Timestamp)
	}
	m.Properties = Properties{UTF8: c.MQTT.PayloadFormatIndicator == "UTF8_DATA", ContentType: c.MQTT.ContentType,
		ResponseTopic: c.MQTT.ResponseTopic, CorrelationData: c.MQTT.CorrelationData}
	for _, u := range c.MQTT.UserProperties {
		m.Properties.User = append(m.Properties.User, UserProperty{u.Key, u.Value})
	}
	return m, nil
}

func (v *vector) check(out []byte, matched bool, want special) error {
	switch {
	case want.NoMatch && matched:
		return fmt.Errorf("matched, output %s", out)
	case want.NoMatch:
		return nil
	case !matched:
		return errors.New("does not match")
	case want.Base64 != nil:
		b, err := base64.StdEncoding.DecodeString(*want.Base64)
		if err == nil && !bytes.Equal(b, out) {
			err = fmt.Errorf("got bytes %x, want %x", out, b)
		}
		return err
	}
	got, err := decode(out)
	if err != nil {
		return fmt.Errorf("output %q: %w", out, err)
	}
	wanted, err := decode(v.Want)
	if err != nil {
		return err
	}
	if !v.same(got, wanted) {
		return fmt.Errorf("got %s, want %s", out, v.Want)
	}
	return nil
}

func (v *vector) expand(q *Query, m *Message, refused special) error {
	var want string
	if err := json.Unmarshal(v.Want, &want); err != nil && !refused.CompileError {
		return err
	}
	var in sql.Input
	m.put(&in, q.account)
	opts := &sql.TemplateOptions{Variables: []string{}, Options: sql.Options{Version: v.SQLVersion}}
	if q.st != nil {
		opts.Variables = q.Variables()
		r, err := q.run(context.Background(), m, &sql.RunOptions{Variables: true})
		if err != nil {
			return err
		}
		in.Variables = r.Variables
	}
	tmpl, err := sql.CompileTemplate(*v.Template, opts)
	if err != nil || refused.CompileError {
		if err != nil && refused.CompileError {
			return nil
		}
		return fmt.Errorf("compiled, or not: %v", err)
	}
	got, err := tmpl.Expand(context.Background(), &in)
	if err == nil && got != want {
		err = fmt.Errorf("got %q, want %q", got, want)
	}
	return err
}

// decode keeps numbers as their text.
func decode(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var x any
	err := d.Decode(&x)
	return x, err
}

// same compares as the README of the vectors says.
func (v *vector) same(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && v.sameNumber(string(a), string(b))
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !v.same(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k := range a {
			if w, ok := b[k]; !ok || !v.same(a[k], w) {
				return false
			}
		}
		return true
	}
	return a == b
}

func (v *vector) sameNumber(a, b string) bool {
	if v.Tolerance == 0 {
		x, ok1 := new(big.Rat).SetString(a)
		y, ok2 := new(big.Rat).SetString(b)
		return ok1 && ok2 && x.Cmp(y) == 0
	}
	x, err1 := json.Number(a).Float64()
	y, err2 := json.Number(b).Float64()
	return err1 == nil && err2 == nil && math.Abs(x-y) <= v.Tolerance*max(1, math.Abs(y))
}

package function_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/function"
)

func Example() {
	fns, err := function.New(map[string]function.Func{
		"double": func(_ context.Context, event []byte) ([]byte, error) {
			var v struct{ N int }
			if err := json.Unmarshal(event, &v); err != nil {
				return nil, actions.Permanent(err)
			}
			return json.Marshal(map[string]int{"n": 2 * v.N})
		},
	}, nil)
	if err != nil {
		panic(err)
	}
	answer, err := fns.Invoke(context.Background(), "double", []byte(`{"n":21}`))
	fmt.Println(string(answer), err)
	// Output: {"n":42} <nil>
}

func functions(t *testing.T, opts *function.Options, fns map[string]function.Func) *function.Functions {
	t.Helper()
	f, err := function.New(fns, opts)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFailures(t *testing.T) {
	broken := errors.New("broken")
	f := functions(t, nil, map[string]function.Func{
		"fails":  func(context.Context, []byte) ([]byte, error) { return []byte("x"), broken },
		"panics": func(context.Context, []byte) ([]byte, error) { panic("oh") },
	})
	for _, tt := range []struct {
		name      string
		want      error
		permanent bool
	}{{"fails", broken, false}, {"panics", function.ErrPanic, true}, {"absent", function.ErrNotFound, true}} {
		answer, err := f.Invoke(t.Context(), tt.name, nil)
		if !errors.Is(err, tt.want) || answer != nil || actions.IsPermanent(err) != tt.permanent {
			t.Errorf("%s: got %q, %v", tt.name, answer, err)
		}
	}
	s := f.Stats()
	if s["fails"].Failed != 1 || s["panics"].Panicked != 1 || s["panics"].Invoked != 1 || s["panics"].InFlight != 0 {
		t.Errorf("stats are %+v", s)
	}
}

func TestTimeoutAndConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := functions(t, &function.Options{Timeout: time.Minute, Concurrency: 1}, map[string]function.Func{
			"hangs": func(ctx context.Context, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() },
		})
		go f.Invoke(t.Context(), "hangs", nil)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.Invoke(ctx, "hangs", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if n := f.Stats()["hangs"].Invoked; n != 1 {
			t.Errorf("%d calls, want 1: the second had no slot", n)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if s := f.Stats()["hangs"]; s.InFlight != 0 || s.Duration != time.Minute {
			t.Errorf("stats are %+v", s)
		}
	})
}

func TestPlugin(t *testing.T) {
	var got []byte
	f := functions(t, nil, map[string]function.Func{"keep": func(_ context.Context, event []byte) ([]byte, error) { got = event; return nil, nil }})
	a, err := function.Spec(f).Open(t.Context(), json.RawMessage(`{"name":"keep"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Do(t.Context(), &actions.Request{Payload: []byte(`{"x":1}`)}); err != nil || string(got) != `{"x":1}` {
		t.Errorf("got %s, %v", got, err)
	}
	var param *actions.ParamError
	if _, err := function.Spec(f).Open(t.Context(), json.RawMessage(`{"name":"kep"}`)); !errors.As(err, &param) || param.Path != "name" {
		t.Errorf("got %v", err)
	}
}

func TestLambda(t *testing.T) {
	var got []byte
	f := functions(t, nil, map[string]function.Func{
		"keep":  func(_ context.Context, event []byte) ([]byte, error) { got = event; return nil, nil },
		"fails": func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no") }})
	open := func(arn string) (actions.Action, error) {
		return function.LambdaSpec(f).Open(t.Context(), json.RawMessage(`{"functionArn":"`+arn+`"}`))
	}
	for _, arn := range []string{"keep", "arn:aws:lambda:us-east-1:1:function:keep", "arn:aws:lambda:us-east-1:1:function:keep:prod", "arn:aws:lambda:us-east-1:1:function:keep:7"} {
		a, err := open(arn)
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		if err := a.Do(t.Context(), &actions.Request{Payload: []byte(`{"x":1}`)}); err != nil || string(got) != `{"x":1}` {
			t.Errorf("%s: got %s, %v", arn, got, err)
		}
		if err := a.Do(t.Context(), &actions.Request{Payload: []byte(`{"x":`)}); !actions.IsPermanent(err) {
			t.Errorf("%s: what is not JSON: %v", arn, err)
		}
	}
	var param *actions.ParamError
	for _, arn := range []string{"", "arn:aws:lambda:us-east-1:1:function:kep", "arn:aws:lambda:us-east-1:1:layer:keep"} {
		if _, err := open(arn); !errors.As(err, &param) || param.Path != "functionArn" {
			t.Errorf("%q: %v", arn, err)
		}
	}
	const arn = "arn:aws:lambda:us-east-1:1:function:fails"
	a, err := open(arn)
	if err != nil {
		t.Fatal(err)
	}
	var about interface{ Resource() string }
	if err := a.Do(t.Context(), &actions.Request{Payload: []byte(`{}`)}); !errors.As(err, &about) || about.Resource() != arn {
		t.Errorf("the failure %v is about %v", err, about)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := function.New(map[string]function.Func{"x": nil}, nil); err == nil {
		t.Error("a nil function is taken")
	}
	if _, err := function.New(nil, &function.Options{Concurrency: -1}); err == nil {
		t.Error("a negative concurrency is taken")
	}
}

package rules

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"time"

	"github.com/thingloom/thingloom/internal/sql"
)

// lambdaTimeout is how long aws_lambda may take.
const lambdaTimeout = 2 * time.Second

type sqlFunc = func(ctx context.Context, args []sql.Value) (sql.Value, error)

// functions are what f answers, as internal/sql takes them.
func (f *Funcs) functions() ([]sql.Function, error) {
	if f == nil {
		return nil, nil
	}
	var all []sql.Function
	add := func(set bool, name string, call sqlFunc) {
		if set {
			all = append(all, sql.Function{Name: name, Call: call})
		}
	}
	add(f.Lambda != nil, "aws_lambda", func(ctx context.Context, a []sql.Value) (sql.Value, error) {
		arn, ok := texts(a[:1])
		if !ok {
			return sql.Value{}, nil
		}
		ctx, cancel := context.WithTimeout(ctx, cmp.Or(f.LambdaTimeout, lambdaTimeout))
		defer cancel()
		return parsed(f.Lambda(ctx, arn[0], orNull(a[1])))
	})
	add(f.Shadow != nil, "get_thing_shadow", func(ctx context.Context, a []sql.Value) (sql.Value, error) {
		s, ok := texts(a)
		if !ok {
			return sql.Value{}, nil
		}
		if len(s) == 2 {
			return parsed(f.Shadow(ctx, s[0], "", s[1]))
		}
		return parsed(f.Shadow(ctx, s[0], s[1], s[2]))
	})
	add(f.Registry != nil, "get_registry_data", func(ctx context.Context, a []sql.Value) (sql.Value, error) {
		s, ok := texts(a)
		if !ok {
			return sql.Value{}, nil
		}
		return parsed(f.Registry(ctx, s[0], s[1], s[2]))
	})
	add(f.DynamoDB != nil, "get_dynamodb", f.dynamoDB)
	add(f.Secret != nil, "get_secret", func(ctx context.Context, a []sql.Value) (sql.Value, error) {
		s, ok := texts(a)
		if !ok || s[1] != "SecretString" && s[1] != "SecretBinary" {
			return sql.Value{}, nil
		}
		if len(s) == 3 {
			return parsed(f.Secret(ctx, s[0], s[1], "", s[2]))
		}
		return parsed(f.Secret(ctx, s[0], s[1], s[2], s[3]))
	})
	add(f.Predict != nil, "machinelearning_predict", func(ctx context.Context, a []sql.Value) (sql.Value, error) {
		s, ok := texts(a[:2])
		if !ok || a[2].Kind() != sql.Object {
			return sql.Value{}, nil
		}
		return parsed(f.Predict(ctx, s[0], s[1], a[2].Flat()))
	})
	add(f.Proto != nil, "decode_proto", func(ctx context.Context, a []sql.Value) (sql.Value, error) {
		s, ok := texts(a)
		if !ok {
			return sql.Value{}, nil
		}
		data, err := base64.StdEncoding.DecodeString(s[0])
		if err != nil {
			return sql.Value{}, fmt.Errorf("the first argument is not base64: %w", err)
		}
		return parsed(f.Proto(ctx, data, ProtoSchema{s[1], s[2], s[3], s[4]}))
	})
	for _, u := range f.User {
		call, err := adapt(u)
		if err != nil {
			return nil, err
		}
		all = append(all, sql.Function{Name: u.Name, Inline: u.Inline, Call: call})
	}
	return all, nil
}

func (f *Funcs) dynamoDB(ctx context.Context, a []sql.Value) (sql.Value, error) {
	var q TableQuery
	var names []sql.Value
	switch len(a) {
	case 4:
		names = []sql.Value{a[0], a[1], a[3]}
		q.PartitionValue = a[2].JSON()
	case 6:
		names = []sql.Value{a[0], a[1], a[5], a[3]}
		q.PartitionValue, q.SortValue = a[2].JSON(), a[4].JSON()
	default:
		return sql.Value{}, nil
	}
	s, ok := texts(names)
	if !ok || q.PartitionValue == nil || len(a) == 6 && q.SortValue == nil {
		return sql.Value{}, nil
	}
	q.Table, q.PartitionKey, q.Role = s[0], s[1], s[2]
	if len(s) == 4 {
		q.SortKey = s[3]
	}
	return parsed(f.DynamoDB(ctx, q))
}

// texts are the values as Strings; not ok if one has none.
func texts(a []sql.Value) ([]string, bool) {
	s := make([]string, len(a))
	for i, v := range a {
		t, ok := v.Text()
		if !ok {
			return nil, false
		}
		s[i] = t
	}
	return s, true
}

func orNull(v sql.Value) json.RawMessage {
	if v.Kind() == sql.Undefined {
		return json.RawMessage("null")
	}
	return v.JSON()
}

// parsed is the value of a JSON answer.
func parsed(text json.RawMessage, err error) (sql.Value, error) {
	if err != nil {
		return sql.Value{}, err
	}
	return sql.ParseValue(text)
}

var (
	functionName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,63}$`)
	contextType  = reflect.TypeFor[context.Context]()
	errorType    = reflect.TypeFor[error]()
)

// adapt checks a function of the user's and makes it callable.
func adapt(u Function) (sqlFunc, error) {
	bad := func(why string) error { return fmt.Errorf("rules: function %q: %s", u.Name, why) }
	switch fn := reflect.ValueOf(u.Fn); {
	case !functionName.MatchString(u.Name):
		return nil, bad("the name must be lower-case letters, digits and _")
	case sql.IsBuiltin(u.Name):
		return nil, bad("the language has a function of that name")
	case fn.Kind() != reflect.Func || fn.IsNil():
		return nil, bad("Fn is not a function")
	}
	fn := reflect.ValueOf(u.Fn)
	t := fn.Type()
	first := 0
	if t.NumIn() > 0 && t.In(0) == contextType {
		first = 1
	}
	for i := first; i < t.NumIn(); i++ {
		if t.IsVariadic() || !convertible(t.In(i)) {
			return nil, bad("arguments must be string, float64, int64, bool or json.RawMessage")
		}
	}
	if n := t.NumOut(); n < 1 || n > 2 || !convertible(t.Out(0)) || n == 2 && t.Out(1) != errorType {
		return nil, bad("it must return a string, float64, int64, bool or json.RawMessage, and perhaps an error")
	}
	return func(ctx context.Context, args []sql.Value) (sql.Value, error) {
		if len(args) != t.NumIn()-first {
			return sql.Value{}, nil
		}
		in := make([]reflect.Value, 0, t.NumIn())
		if first == 1 {
			in = append(in, reflect.ValueOf(&ctx).Elem())
		}
		for i, a := range args {
			v, ok := toGo(a, t.In(first+i))
			if !ok {
				return sql.Value{}, nil
			}
			in = append(in, v)
		}
		out := fn.Call(in)
		if len(out) == 2 && !out[1].IsNil() {
			return sql.Value{}, out[1].Interface().(error)
		}
		return fromGo(out[0])
	}, nil
}

var rawType = reflect.TypeFor[json.RawMessage]()

func convertible(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Float64, reflect.Int64, reflect.Bool:
		return true
	}
	return t == rawType
}

func toGo(v sql.Value, t reflect.Type) (reflect.Value, bool) {
	var x any
	var ok bool
	switch t.Kind() {
	case reflect.String:
		x, ok = v.Text()
	case reflect.Float64:
		x, ok = v.Float()
	case reflect.Int64:
		x, ok = v.Int()
	case reflect.Bool:
		x, ok = v.Bool()
	default:
		x, ok = json.RawMessage(v.JSON()), true
	}
	return reflect.ValueOf(x).Convert(t), ok
}

func fromGo(v reflect.Value) (sql.Value, error) {
	switch v.Kind() {
	case reflect.String:
		return sql.StringValue(v.String()), nil
	case reflect.Float64:
		return sql.FloatValue(v.Float()), nil
	case reflect.Int64:
		return sql.IntValue(v.Int()), nil
	case reflect.Bool:
		return sql.BoolValue(v.Bool()), nil
	}
	return parsed(v.Bytes(), nil)
}

// asPanic gives the panic of a function the type that the engine knows.
func asPanic(err error) error {
	var p *sql.PanicError
	var f *sql.FunctionError
	if errors.As(err, &p) && errors.As(err, &f) {
		return fmt.Errorf("%s(): %w", f.Function, &PanicError{Value: p.Value, Stack: p.Stack})
	}
	return err
}

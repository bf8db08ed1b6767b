package main

import (
	"encoding/json"
	"errors"
	"reflect"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
	"github.com/google/cel-go/cel"
	"github.com/redpanda-data/benthos/v4/public/bloblang"
)

// A contender applies the everyday rule to a payload. The output is nil if the
// rule does not fire.
type contender struct {
	name string
	peer bool
	do   func(payload []byte) ([]byte, error)
	// rate measures one that is a program of its own, which has no do.
	rate func(d time.Duration, payload []byte) (float64, error)
}

// everyday is the rule all of them have, in the words of Thingloom.
const everyday = "SELECT deviceId, temperature, timestamp() AS ts FROM 'sensors/+/climate' WHERE temperature > 30"

func contenders() ([]contender, error) {
	var all []contender
	for _, make := range []func() ([]contender, error){thingloom, exprLang, celGo, benthos} {
		some, err := make()
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// reading is what the rule needs of a payload. Decoding into it is what who
// knows the fields beforehand would do; a service where users write the rules
// decodes into a map.
type reading struct {
	DeviceID    string  `json:"deviceId" expr:"deviceId"`
	Temperature float64 `json:"temperature" expr:"temperature"`
	TS          int64   `json:"-" expr:"ts"`
}

func now() int64 { return time.Now().UnixMilli() }

func exprLang() ([]contender, error) {
	programs := func(env any) (where, sel *vm.Program, err error) {
		where, err = expr.Compile("temperature > 30", expr.Env(env), expr.AsBool())
		if err != nil {
			return nil, nil, err
		}
		sel, err = expr.Compile(`{"deviceId": deviceId, "temperature": temperature, "ts": ts}`, expr.Env(env))
		return where, sel, err
	}
	run := func(machine *vm.VM, where, sel *vm.Program, env any) ([]byte, error) {
		yes, err := machine.Run(where, env)
		if err != nil || yes != true {
			return nil, err
		}
		out, err := machine.Run(sel, env)
		if err != nil {
			return nil, err
		}
		return json.Marshal(out)
	}
	var machine vm.VM
	whereMap, selMap, err := programs(map[string]any{"deviceId": "", "temperature": 0.0, "ts": int64(0)})
	if err != nil {
		return nil, err
	}
	whereStruct, selStruct, err := programs(reading{})
	if err != nil {
		return nil, err
	}
	return []contender{
		{name: "expr, any fields", peer: true, do: func(payload []byte) ([]byte, error) {
			var env map[string]any
			if err := json.Unmarshal(payload, &env); err != nil {
				return nil, err
			}
			env["ts"] = now()
			return run(&machine, whereMap, selMap, env)
		}},
		{name: "expr, fields known", peer: true, do: func(payload []byte) ([]byte, error) {
			var env reading
			if err := json.Unmarshal(payload, &env); err != nil {
				return nil, err
			}
			env.TS = now()
			return run(&machine, whereStruct, selStruct, env)
		}},
	}, nil
}

func celGo() ([]contender, error) {
	env, err := cel.NewEnv(cel.Variable("deviceId", cel.StringType), cel.Variable("temperature", cel.DoubleType), cel.Variable("ts", cel.IntType))
	if err != nil {
		return nil, err
	}
	program := func(text string) (cel.Program, error) {
		ast, issues := env.Compile(text)
		if issues.Err() != nil {
			return nil, issues.Err()
		}
		return env.Program(ast, cel.EvalOptions(cel.OptOptimize))
	}
	where, err := program("temperature > 30.0")
	if err != nil {
		return nil, err
	}
	sel, err := program(`{"deviceId": dyn(deviceId), "temperature": dyn(temperature), "ts": dyn(ts)}`)
	if err != nil {
		return nil, err
	}
	object := reflect.TypeFor[map[string]any]()
	run := func(vars map[string]any) ([]byte, error) {
		yes, _, err := where.Eval(vars)
		if err != nil || yes.Value() != true {
			return nil, err
		}
		out, _, err := sel.Eval(vars)
		if err != nil {
			return nil, err
		}
		native, err := out.ConvertToNative(object)
		if err != nil {
			return nil, err
		}
		return json.Marshal(native)
	}
	return []contender{
		{name: "cel-go, any fields", peer: true, do: func(payload []byte) ([]byte, error) {
			var vars map[string]any
			if err := json.Unmarshal(payload, &vars); err != nil {
				return nil, err
			}
			vars["ts"] = now()
			return run(vars)
		}},
		{name: "cel-go, fields known", peer: true, do: func(payload []byte) ([]byte, error) {
			var r reading
			if err := json.Unmarshal(payload, &r); err != nil {
				return nil, err
			}
			return run(map[string]any{"deviceId": r.DeviceID, "temperature": r.Temperature, "ts": now()})
		}},
	}, nil
}

func benthos() ([]contender, error) {
	mapping, err := bloblang.Parse(`root = if this.temperature > 30 {
  {"deviceId": this.deviceId, "temperature": this.temperature, "ts": timestamp_unix_milli()}
} else { deleted() }`)
	if err != nil {
		return nil, err
	}
	return []contender{{name: "Benthos bloblang", peer: true, do: func(payload []byte) ([]byte, error) {
		var doc any
		if err := json.Unmarshal(payload, &doc); err != nil {
			return nil, err
		}
		out, err := mapping.Query(doc)
		if errors.Is(err, bloblang.ErrRootDeleted) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return json.Marshal(out)
	}}}, nil
}

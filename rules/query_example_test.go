package rules_test

import (
	"context"
	"fmt"

	"github.com/thingloom/thingloom/rules"
)

func ExampleCompile() {
	q, err := rules.Compile("SELECT deviceId, (t - 32) * 5 / 9 AS celsius FROM 'sensors/+/climate' WHERE t > 90", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	out, matched, err := q.Eval(context.Background(), &rules.Message{
		Topic:   "sensors/7/climate",
		Payload: []byte(`{"deviceId": "roof", "t": 95}`),
	})
	fmt.Printf("%s %v %v\n", out, matched, err)
	// Output: {"deviceId":"roof","celsius":35} true <nil>
}

func ExampleSyntaxError() {
	_, err := rules.Compile("SELECT uper(name) AS n FROM 'sensors/+/climate'", nil)
	fmt.Println(err)
	// Output:
	// rules: line 1, column 8: there is no function uper, did you mean upper?
	// SELECT uper(name) AS n FROM 'sensors/+/climate'
	//        ^
}

func ExampleFunction() {
	q, err := rules.Compile("SELECT dewpoint(t, rh) AS dew FROM 'a'", &rules.CompileOptions{Funcs: &rules.Funcs{
		User: []rules.Function{{
			Name: "dewpoint", Doc: "the dew point in degrees, roughly",
			Fn: func(t, rh float64) float64 { return t - (100-rh)/5 },
		}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	out, _, err := q.Eval(context.Background(), &rules.Message{Payload: []byte(`{"t": 20, "rh": 60}`)})
	fmt.Printf("%s %v\n", out, err)
	// Output: {"dew":12} <nil>
}

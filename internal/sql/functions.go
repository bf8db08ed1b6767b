package sql

import "maps"

// builtins are the functions of the language by name, but for encode, decode
// and get_or_default, which compile in a way of their own.
var builtins = func() map[string]builtin {
	all := map[string]builtin{}
	for name, sum := range hashes {
		all[name] = builtin{1, 1, false, true, hash(sum)}
	}
	for name, f := range doubles {
		all[name] = builtin{1, 1, false, true, f.call}
	}
	maps.Copy(all, numberFuncs)
	maps.Copy(all, stringFuncs)
	maps.Copy(all, regexpFuncs)
	maps.Copy(all, valueFuncs)
	maps.Copy(all, timeFuncs)
	maps.Copy(all, contextFuncs)
	return all
}()

// A preparation does the part of a function's work that depends on literal
// arguments when the call is compiled; fn is what the function does otherwise.
type preparation func(args []code, fn func(*env, []Value) Value) func(*env, []Value) Value

var prepared = map[string]preparation{
	"regexp_matches": prepareRegexp("regexp_matches"),
	"regexp_replace": prepareRegexp("regexp_replace"),
	"regexp_substr":  prepareRegexp("regexp_substr"),
	"parse_time":     prepareParseTime,
	"time_to_epoch":  prepareTimeToEpoch,
}

// IsBuiltin reports whether the language has a function of that name, which a
// host can then not add.
func IsBuiltin(name string) bool {
	switch name {
	case "encode", "decode", "get_or_default":
		return true
	}
	_, ok := builtins[name]
	_, ok2 := externals[name]
	return ok || ok2
}

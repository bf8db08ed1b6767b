package sql

import (
	"cmp"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// call is a function of the language, as its table in the specification says.
// It knows those that the generator uses.
func (m *nmessage) call(n *Call) nv {
	if n.Name == "encode" && len(n.Args) == 2 {
		if _, star := n.Args[0].(*Star); star && len(m.scopes) == 0 {
			if s := m.eval(n.Args[1]); s.kind == String && s.s == "base64" {
				return nstr(base64.StdEncoding.EncodeToString([]byte(m.raw)))
			}
			return undef
		}
	}
	f, ok := naiveFuncs[n.Name]
	if !ok {
		panic("the naive interpreter has no " + n.Name)
	}
	if len(n.Args) < f.min || len(n.Args) > f.max {
		return undef // whatever the arguments are
	}
	args := make([]nv, len(n.Args))
	for i, a := range n.Args {
		args[i] = m.eval(a)
	}
	return f.f(m, args)
}

type naiveFunc struct {
	min, max int
	f        func(m *nmessage, a []nv) nv
}

func onNum(f func(x *big.Rat) nv) naiveFunc {
	return naiveFunc{1, 1, func(_ *nmessage, a []nv) nv {
		if x, ok := a[0].num(); ok {
			return f(x)
		}
		return undef
	}}
}

// sameKind makes the result of a function a Decimal where its first argument
// is none of the Ints.
func sameKind(f naiveFunc) naiveFunc {
	return naiveFunc{f.min, f.max, func(m *nmessage, a []nv) nv {
		v := f.f(m, a)
		if v.kind != Int {
			return v
		}
		return m.like(v, a[0])
	}}
}

func onFloat(f func(x float64) float64) naiveFunc {
	return naiveFunc{1, 1, func(m *nmessage, a []nv) nv {
		x, ok := a[0].num()
		if !ok {
			return undef
		}
		fl, _ := x.Float64()
		return m.float(f(fl))
	}}
}

func onFloats(f func(x, y float64) float64) naiveFunc {
	return naiveFunc{2, 2, func(m *nmessage, a []nv) nv {
		x, ok1 := a[0].num()
		y, ok2 := a[1].num()
		if !ok1 || !ok2 {
			return undef
		}
		fl, _ := x.Float64()
		g, _ := y.Float64()
		return m.float(f(fl, g))
	}}
}

// float is the result of a function that computes in float64: a Decimal.
func (m *nmessage) float(f float64) nv {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return undef
	}
	return nwritten(strconv.FormatFloat(f, 'e', -1, 64), m.legacy)
}

func onTexts(n int, f func(s []string) nv) naiveFunc {
	return naiveFunc{n, n, func(_ *nmessage, a []nv) nv {
		s := make([]string, n)
		for i, v := range a {
			t, ok := v.text()
			if !ok {
				return undef
			}
			s[i] = t
		}
		return f(s)
	}}
}

func onBits(f func(z, x, y *big.Int) *big.Int) naiveFunc {
	return naiveFunc{2, 2, func(_ *nmessage, a []nv) nv {
		x, ok1 := a[0].num()
		y, ok2 := a[1].num()
		if !ok1 || !ok2 || !isInt(x) || !isInt(y) {
			return undef
		}
		return nnum(new(big.Rat).SetInt(f(new(big.Int), truncRat(x).Num(), truncRat(y).Num())))
	}}
}

// isInt says that x without its fraction is an Int: of 34 digits at most.
func isInt(x *big.Rat) bool { return nv{kind: Int, r: truncRat(x)}.whole() }

// floorRat is the whole number at or below x.
func floorRat(x *big.Rat) *big.Rat {
	q := truncRat(x)
	if x.Sign() < 0 && q.Cmp(x) != 0 {
		q.Sub(q, big.NewRat(1, 1))
	}
	return q
}

var naiveFuncs map[string]naiveFunc

func init() { naiveFuncs = makeNaiveFuncs() }

func makeNaiveFuncs() map[string]naiveFunc {
	pad := func(left bool) naiveFunc {
		return naiveFunc{2, 2, func(_ *nmessage, a []nv) nv {
			s, ok := a[0].text()
			n, ok2 := a[1].index()
			if !ok || !ok2 {
				return undef
			}
			spaces := strings.Repeat(" ", min(max(n, 0), 1000))
			if left {
				return nstr(spaces + s)
			}
			return nstr(s + spaces)
		}}
	}
	remainder := naiveFunc{2, 2, func(m *nmessage, a []nv) nv { return m.binary("%", a[0], a[1]) }}
	return map[string]naiveFunc{
		"abs":  sameKind(onNum(func(x *big.Rat) nv { return nnum(new(big.Rat).Abs(x)) })),
		"sign": onNum(func(x *big.Rat) nv { return nint(x.Sign()) }),
		"ceil": onNum(func(x *big.Rat) nv {
			f := floorRat(new(big.Rat).Neg(x))
			return nnum(f.Neg(f))
		}),
		"floor": onNum(func(x *big.Rat) nv { return nnum(floorRat(x)) }),
		"round": onNum(func(x *big.Rat) nv {
			f := floorRat(new(big.Rat).Add(new(big.Rat).Abs(x), big.NewRat(1, 2)))
			if x.Sign() < 0 {
				f.Neg(f)
			}
			return nnum(f)
		}),
		"sqrt": onFloat(math.Sqrt), "exp": onFloat(math.Exp), "ln": onFloat(math.Log), "log": onFloat(func(x float64) float64 {
			for n := -330; n < 310; n++ {
				if f, _ := strconv.ParseFloat("1e"+strconv.Itoa(n), 64); f == x && x > 0 {
					return float64(n)
				}
			}
			return math.Log10(x)
		}),
		"acos": onFloat(math.Acos), "asin": onFloat(math.Asin), "atan": onFloat(math.Atan), "atan2": onFloats(math.Atan2), "power": onFloats(math.Pow),
		"cos": onFloat(math.Cos), "sin": onFloat(math.Sin), "tan": onFloat(math.Tan),
		"cosh": onFloat(math.Cosh), "sinh": onFloat(math.Sinh), "tanh": onFloat(math.Tanh),
		"mod": remainder, "remainder": remainder,
		"bitand": onBits((*big.Int).And), "bitor": onBits((*big.Int).Or), "bitxor": onBits((*big.Int).Xor),
		"bitnot": onNum(func(x *big.Rat) nv {
			if !isInt(x) {
				return undef
			}
			return nnum(new(big.Rat).SetInt(new(big.Int).Not(truncRat(x).Num())))
		}),
		"nanvl": {2, 2, func(_ *nmessage, a []nv) nv {
			if a[0].kind == Undefined || a[0].kind == Null {
				return a[1]
			}
			return a[0]
		}},
		"trunc": sameKind(naiveFunc{2, 2, func(_ *nmessage, a []nv) nv {
			x, ok := a[0].num()
			places, ok2 := a[1].index()
			if !ok || !ok2 || a[1].kind != Int {
				return undef
			}
			p := pow10Rat(min(max(places, 0), 34))
			return nnum(new(big.Rat).Quo(truncRat(new(big.Rat).Mul(x, p)), p))
		}}),

		"chr": {1, 1, func(_ *nmessage, a []nv) nv {
			if i, ok := a[0].index(); ok && i >= 0 && i <= 127 {
				return nstr(string(rune(i)))
			}
			return undef
		}},
		"concat":     {0, 99, func(_ *nmessage, a []nv) nv { return nconcat(a) }},
		"endswith":   onTexts(2, func(s []string) nv { return nbool(strings.HasSuffix(s[0], s[1])) }),
		"startswith": onTexts(2, func(s []string) nv { return nbool(strings.HasPrefix(s[0], s[1])) }),
		"indexof": onTexts(2, func(s []string) nv {
			before, _, found := strings.Cut(s[0], s[1])
			if !found {
				return nint(-1)
			}
			return nint(utf8.RuneCountInString(before))
		}),
		"length":   onTexts(1, func(s []string) nv { return nint(len([]rune(s[0]))) }),
		"numbytes": onTexts(1, func(s []string) nv { return nint(len(s[0])) }),
		"lower":    onTexts(1, func(s []string) nv { return nstr(strings.ToLower(s[0])) }),
		"upper":    onTexts(1, func(s []string) nv { return nstr(strings.ToUpper(s[0])) }),
		"ltrim":    onTexts(1, func(s []string) nv { return nstr(strings.TrimLeftFunc(s[0], unicode.IsSpace)) }),
		"rtrim":    onTexts(1, func(s []string) nv { return nstr(strings.TrimRightFunc(s[0], unicode.IsSpace)) }),
		"trim":     onTexts(1, func(s []string) nv { return nstr(strings.TrimSpace(s[0])) }),
		"lpad":     pad(true),
		"rpad":     pad(false),
		"replace": onTexts(3, func(s []string) nv {
			if s[1] == "" {
				return nstr(s[0])
			}
			return nstr(strings.Join(strings.Split(s[0], s[1]), s[2]))
		}),
		"substring": {2, 3, func(_ *nmessage, a []nv) nv {
			s, ok := a[0].text()
			r := []rune(s)
			from, ok2 := a[1].index()
			to, ok3 := len(r), true
			if len(a) == 3 {
				to, ok3 = a[2].index()
			}
			if !ok || !ok2 || !ok3 {
				return undef
			}
			from, to = min(max(from, 0), len(r)), min(max(to, 0), len(r))
			if from >= to {
				return nstr("")
			}
			return nstr(string(r[from:to]))
		}},
		"regexp_replace": onTexts(3, nreplace),
		"regexp_matches": onTexts(2, func(s []string) nv {
			re, err := regexp.Compile(s[1])
			if err != nil {
				return undef
			}
			return nbool(re.MatchString(s[0]))
		}),
		"regexp_substr": onTexts(2, func(s []string) nv {
			re, err := regexp.Compile(s[1])
			if err != nil || !re.MatchString(s[0]) {
				return undef
			}
			return nstr(re.FindString(s[0]))
		}),
		"md5":    onTexts(1, func(s []string) nv { h := md5.Sum([]byte(s[0])); return nstr(hex.EncodeToString(h[:])) }),
		"sha1":   onTexts(1, func(s []string) nv { h := sha1.Sum([]byte(s[0])); return nstr(hex.EncodeToString(h[:])) }),
		"md2":    onTexts(1, func(s []string) nv { h := md2([]byte(s[0])); return nstr(hex.EncodeToString(h[:])) }),
		"sha224": onTexts(1, func(s []string) nv { h := sha256.Sum224([]byte(s[0])); return nstr(hex.EncodeToString(h[:])) }),
		"sha384": onTexts(1, func(s []string) nv { h := sha512.Sum384([]byte(s[0])); return nstr(hex.EncodeToString(h[:])) }),
		"sha512": onTexts(1, func(s []string) nv { h := sha512.Sum512([]byte(s[0])); return nstr(hex.EncodeToString(h[:])) }),
		"sha256": onTexts(1, func(s []string) nv { h := sha256.Sum256([]byte(s[0])); return nstr(hex.EncodeToString(h[:])) }),

		"encode": {2, 2, func(_ *nmessage, a []nv) nv {
			s, ok := a[0].text()
			if !ok || a[1].kind != String || a[1].s != "base64" {
				return undef
			}
			return nstr(base64.StdEncoding.EncodeToString([]byte(s)))
		}},
		"decode": {2, 2, func(m *nmessage, a []nv) nv { return m.decode(a) }},

		"get": {2, 2, func(_ *nmessage, a []nv) nv { return nget(a[0], a[1]) }},
		"get_or_default": {1, 2, func(_ *nmessage, a []nv) nv {
			if a[0].kind != Undefined && a[0].kind != Null {
				return a[0]
			}
			if len(a) == 2 {
				return a[1]
			}
			return undef
		}},
		"isnull":      {1, 1, func(_ *nmessage, a []nv) nv { return nbool(a[0].kind == Null) }},
		"isundefined": {1, 1, func(_ *nmessage, a []nv) nv { return nbool(a[0].kind == Undefined) }},
		"transform": {3, 3, func(_ *nmessage, a []nv) nv {
			if a[0].kind != String || a[0].s != "enrichArray" || a[1].kind != Object || a[2].kind != Array {
				return undef
			}
			out := narr(nil)
			for _, x := range a[2].arr {
				if x.kind != Object {
					return undef
				}
				o := nobj(slices.Clone(x.obj))
				for _, mem := range a[1].obj {
					o.set(mem.key, mem.v)
				}
				out.arr = append(out.arr, o)
			}
			return out
		}},
		"parse_time":    {2, 3, func(_ *nmessage, a []nv) nv { return nparseTime(a) }},
		"time_to_epoch": {2, 2, func(_ *nmessage, a []nv) nv { return ntimeToEpoch(a) }},

		"topic": {0, 1, func(m *nmessage, a []nv) nv {
			if len(a) == 0 {
				return nstr(m.in.Topic)
			}
			if i, ok := a[0].index(); ok {
				return m.level(i)
			}
			return undef
		}},
		"accountid":           ofMessageText(func(m *nmessage) string { return m.in.AccountID }),
		"clientid":            ofMessageText(func(m *nmessage) string { return cmp.Or(m.in.ClientID, "n/a") }),
		"principal":           ofMessageText(func(m *nmessage) string { return m.in.Principal }),
		"sourceip":            ofMessageText(func(m *nmessage) string { return m.in.SourceIP }),
		"traceid":             ofMessageText(func(m *nmessage) string { return m.in.TraceID }),
		"sql_version":         ofMessageText(func(m *nmessage) string { return map[bool]string{true: "2015-10-08", false: "2016-03-23"}[m.legacy] }),
		"timestamp":           {0, 0, func(m *nmessage, _ []nv) nv { return nint(int(m.in.Time.UnixMilli())) }},
		"get_mqtt_property":   {1, 1, func(m *nmessage, a []nv) nv { return m.property(a[0]) }},
		"get_user_properties": {0, 1, func(m *nmessage, a []nv) nv { return m.userProperties(a) }},
	}
}

func nconcat(a []nv) nv {
	switch len(a) {
	case 0:
		return undef
	case 1:
		return a[0]
	}
	if slices.ContainsFunc(a, func(v nv) bool { return v.kind == Array }) {
		out := narr(nil)
		for _, v := range a {
			switch v.kind {
			case Array:
				out.arr = append(out.arr, v.arr...)
			case Undefined:
			default:
				out.arr = append(out.arr, v)
			}
		}
		return out
	}
	var b strings.Builder
	for _, v := range a {
		s, ok := v.text()
		if !ok {
			return undef
		}
		b.WriteString(s)
	}
	return nstr(b.String())
}

func (m *nmessage) decode(a []nv) nv {
	s, ok := a[0].text()
	if !ok || a[1].kind != String || a[1].s != "base64" {
		return undef
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || !utf8.Valid(b) {
		return nv{kind: Null}
	}
	if v, err := parseNaive(string(b), m.legacy); err == nil {
		return v
	}
	return nstr(string(b))
}

func nget(v, key nv) nv {
	if v.kind == Object {
		if key.kind != String {
			return undef
		}
		return v.member(key.s)
	}
	i, ok := key.index()
	if !ok || i < 0 {
		return undef
	}
	switch v.kind {
	case Array:
		if i < len(v.arr) {
			return v.arr[i]
		}
	case String:
		if r := []rune(v.s); i < len(r) {
			return nstr(string(r[i]))
		}
	}
	return undef
}

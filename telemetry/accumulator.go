package telemetry

import (
	"encoding/binary"
	"math"
	"math/big"

	"github.com/thingloom/thingloom/internal/record"
	"github.com/thingloom/thingloom/internal/sql"
)

// An accumulator is one aggregate function over the values of one window.
type accumulator interface {
	// add takes a value that is neither missing nor null, and reports
	// whether it could use it.
	add(v sql.Value, r *Record) bool
	merge(o accumulator) // of the same type, for sessions that grow together
	result() sql.Value
	encode(dst []byte) []byte
	decode(r *stateReader)
}

func newAccumulator(fn string) accumulator {
	switch fn {
	case "count":
		return new(counter)
	case "sum":
		return new(summer)
	case "avg":
		return &summer{avg: true}
	case "min":
		return &extreme{sign: -1}
	case "max":
		return &extreme{sign: 1}
	case "first":
		return &edge{sign: -1}
	case "last":
		return &edge{sign: 1}
	case "stddev":
		return &spread{sample: 1}
	case "stddev_pop":
		return new(spread)
	}
	panic("telemetry: no aggregate " + fn) // Compile admits those of aggregateNames only
}

// number reads v as a decimal, exactly.
func number(v sql.Value) (decimal, bool) {
	if v.Kind() == sql.String {
		if _, ok := v.Float(); !ok {
			return decimal{}, false
		}
		s, _ := v.Text()
		return parseDecimal([]byte(s))
	}
	if !v.IsNumber() {
		return decimal{}, false
	}
	var buf [48]byte
	return parseDecimal(v.AppendJSON(buf[:0]))
}

// counter is count.
type counter struct{ n int64 }

func (c *counter) add(sql.Value, *Record) bool { c.n++; return true }
func (c *counter) merge(o accumulator)         { c.n += o.(*counter).n }
func (c *counter) result() sql.Value           { return sql.IntValue(c.n) }
func (c *counter) encode(dst []byte) []byte    { return binary.AppendVarint(dst, c.n) }
func (c *counter) decode(r *stateReader)       { c.n = r.Varint() }

// summer is sum and avg.
type summer struct {
	n   int64
	sum decimal
	avg bool
}

func (s *summer) add(v sql.Value, _ *Record) bool {
	d, ok := number(v)
	if ok {
		s.n++
		s.sum.add(d)
	}
	return ok
}

func (s *summer) merge(o accumulator) {
	s.n += o.(*summer).n
	s.sum.add(o.(*summer).sum)
}

func (s *summer) result() sql.Value {
	if s.n <= 0 {
		return sql.NullValue()
	}
	if !s.avg {
		v, err := sql.ParseValue(s.sum.json(nil))
		if err != nil {
			return sql.NullValue()
		}
		return v
	}
	mean := s.sum.rat()
	mean.Quo(mean, new(big.Rat).SetInt64(s.n))
	return ratValue(mean)
}

func ratValue(r *big.Rat) sql.Value {
	f, _ := r.Float64()
	if v := sql.FloatValue(f); v.Kind() != sql.Undefined {
		return v
	}
	return sql.NullValue()
}

func (s *summer) encode(dst []byte) []byte { return s.sum.encode(binary.AppendVarint(dst, s.n)) }
func (s *summer) decode(r *stateReader)    { s.n, s.sum = r.Varint(), r.decimal() }

// spread is stddev (sample is 1) and stddev_pop (0).
type spread struct {
	n       int64
	sum, sq decimal
	sample  int64
}

func (s *spread) add(v sql.Value, _ *Record) bool {
	d, ok := number(v)
	if ok {
		s.n++
		s.sum.add(d)
		s.sq.add(d.square())
	}
	return ok
}

func (s *spread) merge(a accumulator) {
	o := a.(*spread)
	s.n += o.n
	s.sum.add(o.sum)
	s.sq.add(o.sq)
}

// result is the root of (n*sum(x^2) - sum(x)^2) / (n*(n-sample)), exact below
// the root: nothing cancels.
func (s *spread) result() sql.Value {
	if s.n-s.sample <= 0 {
		return sql.NullValue()
	}
	n := new(big.Rat).SetInt64(s.n)
	sum := s.sum.rat()
	v := s.sq.rat()
	v.Mul(v, n)
	v.Sub(v, sum.Mul(sum, sum))
	v.Quo(v, n.Mul(n, new(big.Rat).SetInt64(s.n-s.sample)))
	f, _ := v.Float64()
	if r := sql.FloatValue(math.Sqrt(f)); r.Kind() != sql.Undefined {
		return r
	}
	return sql.NullValue()
}

func (s *spread) encode(dst []byte) []byte {
	return s.sq.encode(s.sum.encode(binary.AppendVarint(dst, s.n)))
}

func (s *spread) decode(r *stateReader) {
	s.n = r.Varint()
	s.sum = r.decimal()
	s.sq = r.decimal()
}

// extreme is min (sign is -1) and max (1).
type extreme struct {
	v    sql.Value // Undefined until there is one
	sign int
}

func (e *extreme) add(v sql.Value, _ *Record) bool {
	order, ok := sql.Compare(v, v)
	if !ok {
		return false
	}
	if e.v.Kind() != sql.Undefined {
		order, _ = sql.Compare(v, e.v)
		order *= e.sign
	}
	if e.v.Kind() == sql.Undefined || order > 0 {
		if v.Kind() == sql.String { // a numeric one: the result is a number
			s, _ := v.Text()
			n, err := sql.ParseValue([]byte(s))
			if err != nil {
				return false
			}
			v = n
		}
		e.v = v
	}
	return true
}

func (e *extreme) merge(o accumulator) {
	if v := o.(*extreme).v; v.Kind() != sql.Undefined {
		e.add(v, nil)
	}
}

func (e *extreme) result() sql.Value {
	if e.v.Kind() == sql.Undefined {
		return sql.NullValue()
	}
	return e.v
}

func (e *extreme) encode(dst []byte) []byte { return record.AppendBytes(dst, e.v.JSON()) }
func (e *extreme) decode(r *stateReader)    { e.v = r.value() }

// edge is first (sign is -1) and last (1), by event time; of equal times the
// one with the lower offset comes first.
type edge struct {
	v      sql.Value // Undefined until there is one
	time   int64
	offset int64
	sign   int64
}

func (e *edge) add(v sql.Value, r *Record) bool {
	e.take(v, r.Time.UnixNano(), r.Offset)
	return true
}

func (e *edge) take(v sql.Value, time, offset int64) {
	if e.v.Kind() != sql.Undefined {
		later := time > e.time || time == e.time && offset > e.offset
		if later != (e.sign > 0) {
			return
		}
	}
	e.v, e.time, e.offset = v, time, offset
}

func (e *edge) merge(a accumulator) {
	if o := a.(*edge); o.v.Kind() != sql.Undefined {
		e.take(o.v, o.time, o.offset)
	}
}

func (e *edge) result() sql.Value {
	if e.v.Kind() == sql.Undefined {
		return sql.NullValue()
	}
	return e.v
}

func (e *edge) encode(dst []byte) []byte {
	dst = record.AppendBytes(dst, e.v.JSON())
	return binary.AppendVarint(binary.AppendVarint(dst, e.time), e.offset)
}

func (e *edge) decode(r *stateReader) {
	e.v = r.value()
	e.time = r.Varint()
	e.offset = r.Varint()
}

// value reads a JSON value; nothing is Undefined.
func (r *stateReader) value() sql.Value {
	v, err := sql.ParseValue(r.View())
	if err != nil {
		r.Fail("value is not JSON")
	}
	return v
}

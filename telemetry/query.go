package telemetry

import (
	"context"
	"hash/fnv"
	"strings"
	"time"

	"github.com/thingloom/thingloom/internal/sql"
)

// A Query is compiled window SQL. It is immutable and safe for concurrent use.
type Query struct {
	text   string
	window windowSpec
	where  *sql.Expr   // or nil
	groups []groupExpr // in the order of GROUP BY
	byKey  bool        // one of them is key
	args   []*sql.Expr // distinct arguments of aggregates
	aggs   []aggregate
	having *sql.Expr // or nil
	out    []output
}

// A groupExpr is one expression of GROUP BY besides the window.
type groupExpr struct {
	path string // "key", or a path of the payload
	expr *sql.Expr
}

// An aggregate is one distinct aggregate function of the query.
type aggregate struct {
	fn  string
	arg int // index into args; -1 for count(*)
	id  string
}

// An output is one member of a result.
type output struct {
	name string
	expr *sql.Expr
}

// The values a record offers to expressions beside its payload, as slots of
// sql.Input.Host.
const (
	slotKey = iota
	slotEventTime
)

// The values a closed window offers: these, then groups, then aggregates.
const (
	slotStart = iota
	slotEnd
	windowSlots
)

// Compile compiles window SQL:
//
//	SELECT item [AS name], ... FROM stream [WHERE condition]
//	GROUP BY [key | path], ..., window [HAVING condition]
//
// A window is one of
//
//	TUMBLE(INTERVAL '1' MINUTE)                        one after the other
//	TUMBLE(INTERVAL '1' DAY, INTERVAL '6' HOUR)        shifted by 6 hours
//	HOP(INTERVAL '10' SECOND, INTERVAL '1' MINUTE)     one of a minute every 10 seconds
//	SESSION(INTERVAL '5' MINUTE)                       until 5 minutes pass without a record
//
// with MILLISECOND, SECOND, MINUTE, HOUR, DAY or WEEK, also as plurals. Windows are
// aligned to 1970-01-01 00:00 UTC; a record belongs to a window if start <=
// event time < end. An event exactly a gap after the last one begins a new
// session.
//
// Expressions are those of rule SQL, on the record's JSON; key is the record's
// key and event_time its event time in Unix milliseconds, and both hide
// members of the payload with that name. A division of two whole numbers
// keeps its fraction. Aggregates:
//
//	count(*)            records
//	count(x)            values that are neither missing nor null
//	sum(x), avg(x), min(x), max(x), stddev(x) of the sample, stddev_pop(x)
//	                    of the values that are numbers or numeric strings
//	first(x), last(x)   the value with the least and the greatest event time,
//	                    of the values that are neither missing nor null
//
// Missing and null values are left out of all of them. Values that are no
// numbers are left out of those that need numbers, and counted in
// WindowStats.NotNumbers. Of nothing, counts are 0 and everything else is
// null; so is stddev of one value. Sums are exact in decimal, whatever the
// order of the records; avg and stddev are rounded once, to a float64.
//
// Outside of aggregates SELECT and HAVING may use what is grouped by, and
// window_start and window_end, in Unix milliseconds. The results have both
// whether they are selected or not. A record whose grouping path is missing
// is grouped under null.
//
// An error is a *SyntaxError.
func Compile(text string) (*Query, error) {
	c := &queryCompiler{text: text, p: sql.NewParser(text, 0, nil), q: &Query{text: text}, argIndex: map[string]int{}}
	if err := c.compile(); err != nil {
		return nil, syntaxError(err)
	}
	return c.q, nil
}

// Text returns what the query was compiled from.
func (q *Query) Text() string { return q.text }

// ByKey reports whether the query groups by key, so that the partitions of a
// stream can be windowed each on its own.
func (q *Query) ByKey() bool { return q.byKey }

// Columns returns the names of the members of a result, in order.
func (q *Query) Columns() []string {
	var names []string
	for _, o := range q.out {
		names = append(names, o.name)
	}
	return names
}

// fingerprint identifies the query in its states.
func (q *Query) fingerprint() uint64 {
	h := fnv.New64a()
	h.Write([]byte(strings.Join(strings.Fields(q.text), " ")))
	return h.Sum64()
}

// groupKey is the Key of a window's Record.
func (q *Query) groupKey(values []sql.Value) string {
	var parts []string
	for i, g := range q.groups {
		if g.path == "key" {
			key, _ := values[i].Text()
			return key
		}
		text, ok := values[i].Text()
		if !ok {
			text = "null"
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return "all"
	}
	return strings.Join(parts, "/")
}

// result makes the Record of a closed window; ok is false if HAVING says no.
func (q *Query) result(start, end int64, groups []sql.Value, aggs []sql.Value) (r Record, ok bool, err error) {
	host := make([]sql.Value, 0, windowSlots+len(groups)+len(aggs))
	host = append(host, sql.IntValue(start), sql.IntValue(end))
	host = append(append(host, groups...), aggs...)
	at := time.UnixMilli(start).UTC()
	in := &sql.Input{Time: at, Host: host}
	if q.having != nil {
		if ok, err := q.having.True(context.Background(), in); err != nil || !ok {
			return Record{}, false, err
		}
	}
	value := []byte{'{'}
	for i, o := range q.out {
		v, err := o.expr.Eval(context.Background(), in)
		if err != nil {
			return Record{}, false, err
		}
		if v.Kind() == sql.Undefined {
			v = sql.NullValue() // a row has all of its columns
		}
		if i > 0 {
			value = append(value, ',')
		}
		value = appendString(value, o.name)
		value = v.AppendJSON(append(value, ':'))
	}
	return Record{Key: q.groupKey(groups), Time: at, Value: append(value, '}')}, true, nil
}

package shadow

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
)

// linear is how many members are searched one by one before a map is built.
const linear = 16

func search(members []node, key string) int {
	for i := range members {
		if members[i].key == key {
			return i
		}
	}
	return -1
}

func index(members []node) map[string]int {
	m := make(map[string]int, len(members))
	for i := range members {
		m[members[i].key] = i
	}
	return m
}

// A finder finds members of one object, most quickly at the position hinted:
// trees that belong together mostly have their members in the same order.
type finder struct {
	n    *node
	seen map[string]int
}

func (f *finder) find(key string, hint int) int {
	switch {
	case hint < len(f.n.kids) && f.n.kids[hint].key == key:
		return hint
	case len(f.n.kids) <= linear:
		return search(f.n.kids, key)
	case f.seen == nil:
		f.seen = index(f.n.kids)
	}
	if i, ok := f.seen[key]; ok {
		return i
	}
	return -1
}

// member returns the member named key (unquoted, without escapes), or nil.
func (n *node) member(key string) *node {
	for i := range n.kids {
		if k := n.kids[i].key; len(k) == len(key)+2 && k[1:len(k)-1] == key {
			return &n.kids[i]
		}
	}
	return nil
}

// appendJSON appends the compact JSON of n.
func (n *node) appendJSON(b []byte) []byte {
	return n.appendTree(b, func(b []byte, n *node) []byte { return append(b, n.text...) })
}

// json is the compact JSON of n, metadata its metadata.
func (n *node) json() json.RawMessage     { return written(n.appendJSON) }
func (n *node) metadata() json.RawMessage { return written(n.appendMeta) }

// appendMeta appends the metadata of n: its shape with {"timestamp":t} in
// place of each scalar.
func (n *node) appendMeta(b []byte) []byte {
	return n.appendTree(b, func(b []byte, n *node) []byte {
		return append(strconv.AppendInt(append(b, `{"timestamp":`...), n.time, 10), '}')
	})
}

// appendTree appends the shape of n with what scalar appends in place of each scalar.
func (n *node) appendTree(b []byte, scalar func([]byte, *node) []byte) []byte {
	var closing byte
	switch n.kind {
	case array:
		b, closing = append(b, '['), ']'
	case object:
		b, closing = append(b, '{'), '}'
	default:
		return scalar(b, n)
	}
	for i := range n.kids {
		if i > 0 {
			b = append(b, ',')
		}
		if n.kind == object {
			b = append(append(b, n.kids[i].key...), ':')
		}
		b = n.kids[i].appendTree(b, scalar)
	}
	return append(b, closing)
}

// overlay gives the scalars of n the times that the metadata tree m has at
// the same places. Where m has another shape, times stay zero.
func (n *node) overlay(m *node) {
	switch n.kind {
	case array:
		for i := range n.kids {
			if m.kind == array && i < len(m.kids) {
				n.kids[i].overlay(&m.kids[i])
			}
		}
	case object:
		f := finder{n: m}
		for i := range n.kids {
			if j := f.find(n.kids[i].key, i); j >= 0 {
				n.kids[i].overlay(&m.kids[j])
			}
		}
	default:
		if t := m.member("timestamp"); t != nil && t.kind == number {
			n.time, _ = strconv.ParseInt(t.text, 10, 64)
		}
	}
}

// stamp sets the time of every scalar below n.
func (n *node) stamp(now int64) {
	n.time = now
	for i := range n.kids {
		n.kids[i].stamp(now)
	}
}

// depth is the number of levels below n: the name of a member is one, and so
// is an array that is an element of an array.
func (n *node) depth() int {
	d := 0
	for i := range n.kids {
		k := &n.kids[i]
		below := k.depth()
		if n.kind == object || k.kind == array {
			below++
		}
		d = max(d, below)
	}
	return d
}

// nullInArray reports whether an array at or below n holds a null at any depth.
func (n *node) nullInArray(inside bool) bool {
	if n.kind == null {
		return inside
	}
	for i := range n.kids {
		if n.kids[i].nullInArray(inside || n.kind == array) {
			return true
		}
	}
	return false
}

// equal compares as JSON values: order counts in arrays and not in objects,
// numbers by their exact value.
func equal(a, b *node) bool {
	if a.kind != b.kind || len(a.kids) != len(b.kids) {
		return false
	}
	switch a.kind {
	case array:
		for i := range a.kids {
			if !equal(&a.kids[i], &b.kids[i]) {
				return false
			}
		}
		return true
	case object:
		f := finder{n: b}
		for i := range a.kids {
			j := f.find(a.kids[i].key, i)
			if j < 0 || !equal(&a.kids[i], &b.kids[j]) {
				return false
			}
		}
		return true
	case number:
		return equalNumbers(a.text, b.text)
	}
	return a.text == b.text
}

// equalNumbers compares two JSON numbers exactly, without a float: 1, 1.0,
// 10e-1 and 1E0 are equal, 9007199254740993 and 9007199254740992 are not.
func equalNumbers(a, b string) bool {
	if a == b {
		return true
	}
	x, y := decimalOf(a), decimalOf(b)
	return x.negative == y.negative && x.digits == y.digits && x.exponent.Cmp(&y.exponent) == 0
}

// A decimal is a number as 0.digits times ten to the exponent, its digits
// without zeros at either end. Zero has no digit, no sign and exponent 0.
type decimal struct {
	negative bool
	digits   string
	exponent big.Int // any number of digits may follow the e
}

func decimalOf(s string) (d decimal) {
	s, d.negative = strings.CutPrefix(s, "-")
	mantissa := s
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa = s[:i]
		d.exponent.SetString(strings.TrimPrefix(s[i+1:], "+"), 10)
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all := whole + fraction
	digits := strings.TrimLeft(all, "0")
	shift := len(whole) - (len(all) - len(digits))
	d.digits = strings.TrimRight(digits, "0")
	if d.digits == "" {
		return decimal{}
	}
	d.exponent.Add(&d.exponent, big.NewInt(int64(shift)))
	return d
}

// integer returns the value of a number that is one, 1.0 and 1e3 among them.
func (n *node) integer() (int64, bool) {
	if v, err := strconv.ParseInt(n.text, 10, 64); err == nil {
		return v, true
	}
	d := decimalOf(n.text)
	if !d.exponent.IsInt64() {
		return 0, false
	}
	e := d.exponent.Int64()
	if d.digits == "" {
		return 0, true
	}
	if e < int64(len(d.digits)) || e > 19 {
		return 0, false
	}
	v, err := strconv.ParseInt(d.digits+strings.Repeat("0", int(e)-len(d.digits)), 10, 64)
	if d.negative {
		v = -v
	}
	return v, err == nil
}

package cbor

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"
)

// maxDepth bounds how deep arrays and maps nest.
const maxDepth = 64

// A SyntaxError says where CBOR cannot be read.
type SyntaxError struct {
	Offset int // in bytes
	Reason string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("cbor: byte %d: %s", e.Offset, e.Reason) }

// ToJSON translates exactly one CBOR item. Errors are *SyntaxError. Keys of
// maps are text, or integers, which become text. Infinite numbers and NaN have
// no JSON and are errors.
func ToJSON(item []byte) ([]byte, error) {
	d := &decoder{in: item}
	out, err := d.item(nil, 0)
	if err == nil && d.at < len(d.in) {
		err = d.fail("there is more after the item")
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

type decoder struct {
	in []byte
	at int
}

func (d *decoder) fail(format string, args ...any) error {
	return &SyntaxError{Offset: d.at, Reason: fmt.Sprintf(format, args...)}
}

// The major types [RFC 8949 3.1].
const (
	unsigned = iota
	negative
	byteString
	textString
	array
	mapping
	tag
	simple
)

// indefinite marks a length that only a break ends [RFC 8949 3.2].
const indefinite = 31

// head reads the first byte and the argument behind it.
func (d *decoder) head() (major, info byte, arg uint64, err error) {
	if d.at >= len(d.in) {
		return 0, 0, 0, d.fail("ends early")
	}
	major, info = d.in[d.at]>>5, d.in[d.at]&31
	size := 0
	switch {
	case info < 24:
		arg = uint64(info)
	case info < 28:
		size = 1 << (info - 24)
	case info < indefinite || major == unsigned || major == negative || major == tag:
		return 0, 0, 0, d.fail("additional information %d is not defined", info)
	}
	if len(d.in)-d.at-1 < size {
		return 0, 0, 0, d.fail("ends early")
	}
	d.at++
	var wide [8]byte
	if size > 0 {
		copy(wide[8-size:], d.in[d.at:d.at+size])
		arg = binary.BigEndian.Uint64(wide[:])
		d.at += size
	}
	return major, info, arg, nil
}

func (d *decoder) item(out []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, d.fail("nested deeper than %d", maxDepth)
	}
	start := d.at
	major, info, arg, err := d.head()
	if err != nil {
		return nil, err
	}
	switch major {
	case unsigned:
		return strconv.AppendUint(out, arg, 10), nil
	case negative:
		if arg < 1<<63 {
			return strconv.AppendInt(out, -1-int64(arg), 10), nil
		}
		n := new(big.Int).SetUint64(arg)
		return n.Not(n).Append(out, 10), nil
	case byteString:
		b, err := d.chunks(byteString, info, arg)
		if err != nil {
			return nil, err
		}
		out = base64.StdEncoding.AppendEncode(append(out, '"'), b)
		return append(out, '"'), nil
	case textString:
		d.at = start
		text, err := d.text()
		if err != nil {
			return nil, err
		}
		return appendText(out, text)
	case array:
		return d.array(out, info, arg, depth)
	case mapping:
		return d.mapping(out, info, arg, depth)
	case tag:
		return d.item(out, depth+1)
	}
	return d.simple(out, start, info, arg)
}

// appendText is text as JSON, without the escapes that HTML needs.
func appendText(out []byte, text string) ([]byte, error) {
	quoted, err := json.Marshal(text)
	return append(out, quoted...), err
}

// text reads a text string.
func (d *decoder) text() (string, error) {
	start := d.at
	major, info, arg, err := d.head()
	if err != nil {
		return "", err
	}
	b, err := d.chunks(major, info, arg)
	if err == nil && !utf8.Valid(b) {
		d.at = start
		err = d.fail("text is not UTF-8")
	}
	return string(b), err
}

// chunks reads the bytes of a string, which may come in pieces.
func (d *decoder) chunks(major, info byte, arg uint64) ([]byte, error) {
	if info != indefinite {
		if uint64(len(d.in)-d.at) < arg {
			return nil, d.fail("a string of %d bytes ends early", arg)
		}
		b := d.in[d.at : d.at+int(arg)]
		d.at += int(arg)
		return b, nil
	}
	var all []byte
	for !d.atBreak() {
		m, i, n, err := d.head()
		if err != nil {
			return nil, err
		}
		if m != major || i == indefinite {
			return nil, d.fail("a piece of a string is of another kind")
		}
		b, err := d.chunks(m, i, n)
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
	return all, nil
}

// atBreak consumes the break that ends an indefinite length.
func (d *decoder) atBreak() bool {
	if d.at < len(d.in) && d.in[d.at] == 0xff {
		d.at++
		return true
	}
	return false
}

// more reports whether element n of an array or map is to be read.
func (d *decoder) more(info byte, n, length uint64) bool {
	if info == indefinite {
		return !d.atBreak()
	}
	return n < length
}

func (d *decoder) array(out []byte, info byte, length uint64, depth int) (_ []byte, err error) {
	out = append(out, '[')
	for n := uint64(0); d.more(info, n, length); n++ {
		if n > 0 {
			out = append(out, ',')
		}
		if out, err = d.item(out, depth+1); err != nil {
			return nil, err
		}
	}
	return append(out, ']'), nil
}

func (d *decoder) mapping(out []byte, info byte, length uint64, depth int) (_ []byte, err error) {
	out = append(out, '{')
	seen := map[string]bool{}
	for n := uint64(0); d.more(info, n, length); n++ {
		if n > 0 {
			out = append(out, ',')
		}
		start := d.at
		key, err := d.key()
		if err != nil {
			return nil, err
		}
		if seen[key] {
			d.at = start
			return nil, d.fail("the key %q is there twice", key)
		}
		seen[key] = true
		if out, err = appendText(out, key); err != nil {
			return nil, err
		}
		if out, err = d.item(append(out, ':'), depth+1); err != nil {
			return nil, err
		}
	}
	return append(out, '}'), nil
}

func (d *decoder) key() (string, error) {
	if d.at < len(d.in) {
		switch d.in[d.at] >> 5 {
		case textString:
			return d.text()
		case unsigned, negative:
			number, err := d.item(nil, 0)
			return string(number), err
		}
	}
	return "", d.fail("a key is neither text nor an integer")
}

func (d *decoder) simple(out []byte, start int, info byte, arg uint64) ([]byte, error) {
	var number float64
	switch info {
	case 20:
		return append(out, "false"...), nil
	case 21:
		return append(out, "true"...), nil
	case 22, 23:
		return append(out, "null"...), nil
	case 25:
		number = halfFloat(uint16(arg))
	case 26:
		number = float64(math.Float32frombits(uint32(arg)))
	case 27:
		number = math.Float64frombits(arg)
	default:
		d.at = start
		return nil, d.fail("the simple value %d has no JSON", info)
	}
	if math.IsNaN(number) || math.IsInf(number, 0) {
		d.at = start
		return nil, d.fail("%v has no JSON", number)
	}
	text, err := json.Marshal(number)
	return append(out, text...), err
}

// halfFloat is an IEEE 754 binary16 number [RFC 8949 appendix D].
func halfFloat(bits uint16) float64 {
	exp, mant := int(bits>>10&31), float64(bits&1023)
	var v float64
	switch exp {
	case 0:
		v = math.Ldexp(mant, -24)
	case 31:
		v = math.Inf(1)
		if mant != 0 {
			v = math.NaN()
		}
	default:
		v = math.Ldexp(mant+1024, exp-25)
	}
	if bits>>15 != 0 {
		v = -v
	}
	return v
}

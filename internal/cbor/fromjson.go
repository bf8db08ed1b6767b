package cbor

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/big"
)

// FromJSON translates one JSON value: integers that fit into 64 bits become
// integers, other numbers binary64, and members keep their order. Errors are
// those of encoding/json.
func FromJSON(text []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	out, err := appendValue(nil, dec)
	if err != nil {
		return nil, fmt.Errorf("cbor: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("cbor: there is more after the JSON value, at byte %d", dec.InputOffset())
	}
	return out, nil
}

func appendValue(out []byte, dec *json.Decoder) ([]byte, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case nil:
		return append(out, 0xf6), nil
	case bool:
		if v {
			return append(out, 0xf5), nil
		}
		return append(out, 0xf4), nil
	case string:
		return appendString(out, v), nil
	case json.Number:
		return appendNumber(out, v)
	}
	// '[' or '{': how many elements there are is known at the end.
	major, per := byte(array), 1
	if token == json.Delim('{') {
		major, per = mapping, 2
	}
	var body []byte
	n := 0
	for ; dec.More(); n++ {
		if body, err = appendValue(body, dec); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	return append(appendHead(out, major, uint64(n/per)), body...), nil
}

func appendString(out []byte, s string) []byte {
	return append(appendHead(out, textString, uint64(len(s))), s...)
}

func appendNumber(out []byte, n json.Number) ([]byte, error) {
	if i, ok := new(big.Int).SetString(n.String(), 10); ok {
		switch {
		case i.IsUint64():
			return appendHead(out, unsigned, i.Uint64()), nil
		case i.Sign() < 0 && i.Not(i).IsUint64():
			return appendHead(out, negative, i.Uint64()), nil
		}
	}
	f, err := n.Float64()
	if err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint64(append(out, simple<<5|27), math.Float64bits(f)), nil
}

// appendHead writes the major type with the shortest argument [RFC 8949 4.2.1].
func appendHead(out []byte, major byte, arg uint64) []byte {
	first := major << 5
	switch {
	case arg < 24:
		return append(out, first|byte(arg))
	case arg <= math.MaxUint8:
		return append(out, first|24, byte(arg))
	case arg <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(out, first|25), uint16(arg))
	case arg <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(out, first|26), uint32(arg))
	}
	return binary.BigEndian.AppendUint64(append(out, first|27), arg)
}

package shadow

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
)

var scratch = sync.Pool{New: func() any { return new(make([]byte, 0, 1<<10)) }}

// written is what write appends, in memory of just that size.
func written(write func([]byte) []byte) json.RawMessage {
	b := scratch.Get().(*[]byte)
	text := write((*b)[:0])
	if cap(text) <= 64<<10 {
		*b = text
	}
	text = bytes.Clone(text)
	scratch.Put(b)
	return text
}

func appendRaw(b []byte, name string, raw json.RawMessage) []byte {
	return append(append(b, name...), raw...)
}

func appendInt(b []byte, name string, v int64) []byte {
	return strconv.AppendInt(append(b, name...), v, 10)
}

// endToken ends an object with the client token, where there is one.
func endToken(b []byte, clientToken string, has bool) []byte {
	if has {
		b = append(append(b, `,"clientToken":`...), quote(clientToken)...)
	}
	return append(b, '}')
}

// tokenOf is the client token that an error carries.
func tokenOf(err error) string {
	if re := (*RequestError)(nil); errors.As(err, &re) {
		return re.ClientToken
	}
	return ""
}

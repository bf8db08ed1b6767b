package sql

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"unicode/utf8"
)

// bytesOr compiles n, or * as the bytes of the payload, exactly as received;
// within a query * is the element as any value. The String it makes may hold
// any bytes, so only encode and decode see it.
func (c *compiler) bytesOr(n Node) code {
	if _, ok := n.(*Star); !ok || c.query() >= 0 {
		return c.starOr(n)
	}
	return evaluated(func(e *env) Value { return Value{kind: String, s: view(e.in.Payload)} })
}

// coding compiles encode and decode.
func (c *compiler) coding(n *Call) code {
	if n.Name == "decode" && len(n.Args) > 1 {
		if s, ok := n.Args[1].(*StringLit); ok && s.Value == "proto" {
			if c.template {
				return c.fail(n.Pos(), "decode(.., 'proto', ..) is not allowed in a template")
			}
			nodes := append([]Node{n.Args[0]}, n.Args[2:]...)
			return c.outside(n, externals[protoName], nodes)
		}
	}
	if len(n.Args) != 2 {
		for _, a := range n.Args {
			c.starOr(a)
		}
		return constant(Value{})
	}
	x, scheme := c.expr, c.expr(n.Args[1])
	if n.Name == "encode" {
		x = c.bytesOr
	}
	arg := x(n.Args[0])
	f := (*env).decode
	if n.Name == "encode" {
		f = (*env).encode
	}
	return c.fold(evaluated(func(e *env) Value {
		v, how := arg.eval(e), scheme.eval(e)
		if how.kind != String || how.s != "base64" {
			return Value{}
		}
		return f(e, v)
	}), arg, scheme)
}

func (e *env) encode(v Value) Value {
	s, ok := e.text(v)
	if !ok || !e.room(base64.StdEncoding.EncodedLen(len(s))) {
		return Value{}
	}
	b := e.sc.grow(base64.StdEncoding.EncodedLen(len(s)))
	return e.string(base64.StdEncoding.AppendEncode(b, []byte(s)))
}

// decode is the JSON value that the decoded text is, or the text as a String;
// Null if it cannot be decoded.
func (e *env) decode(v Value) Value {
	s, ok := e.text(v)
	if !ok {
		return Value{}
	}
	b, err := base64.StdEncoding.AppendDecode(nil, []byte(s))
	if err != nil || !utf8.Valid(b) {
		return NullValue()
	}
	text := view(b)
	if !e.room(len(b)) {
		return Value{}
	}
	if raw, ok := validJSON(text); ok {
		return e.load(raw)
	}
	return Value{kind: String, s: text}
}

// hashWork is what a hash counts for each byte; md2 is slow.
const hashWork = 32

// hash makes the function of a hash: lower-case hex of the text's bytes.
func hash(sum func([]byte) []byte) func(*env, []Value) Value {
	return func(e *env, a []Value) Value {
		s, ok := e.text(a[0])
		if !ok || !e.charge(hashWork*len(s)) {
			return Value{}
		}
		d := sum([]byte(s))
		return e.string(hex.AppendEncode(e.sc.grow(2*len(d)), d))
	}
}

var hashes = map[string]func([]byte) []byte{
	"md2":    func(b []byte) []byte { s := md2(b); return s[:] },
	"md5":    func(b []byte) []byte { s := md5.Sum(b); return s[:] },
	"sha1":   func(b []byte) []byte { s := sha1.Sum(b); return s[:] },
	"sha224": func(b []byte) []byte { s := sha256.Sum224(b); return s[:] },
	"sha256": func(b []byte) []byte { s := sha256.Sum256(b); return s[:] },
	"sha384": func(b []byte) []byte { s := sha512.Sum384(b); return s[:] },
	"sha512": func(b []byte) []byte { s := sha512.Sum512(b); return s[:] },
}

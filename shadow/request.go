package shadow

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxToken is the longest client token, in bytes.
const maxToken = 64

// A Request is an update request, parsed and checked.
type Request struct {
	// Version is the version that the document must have; meaningful if Locked.
	Version int64
	Locked  bool

	// ClientToken is echoed in every answer to the request; it may be empty
	// with HasToken true.
	ClientToken string
	HasToken    bool

	state  node // object or null
	limits Limits
}

// ParseRequest reads {"state":...,"version":...,"clientToken":...}. Errors are
// *RequestError, in the order in which the protocol checks: size, encoding,
// JSON, token, shape, nesting, null in arrays, version. Other members are
// ignored; of two with the same name the last counts.
func ParseRequest(payload []byte, limits Limits) (*Request, error) {
	limits = limits.filled()
	root, err := parseObject(payload, limits)
	if err != nil {
		return nil, err
	}
	if root.member("state") == nil {
		// What has no state is no request document, so nothing of it is
		// used: not the token either, as the vectors have it.
		if _, _, err = token(root); err == nil {
			err = refuse(ErrInvalidRequest, "Missing required node: state")
		}
		return nil, err
	}
	r := &Request{limits: limits}
	if r.ClientToken, r.HasToken, err = token(root); err != nil {
		return nil, err
	}
	if bad := r.read(root); bad != nil {
		bad.ClientToken = r.ClientToken
		return nil, bad
	}
	return r, nil
}

// ParseDelete reads the client token of a delete request, of which all other
// content is ignored, also one that is no JSON. Errors are *RequestError: a
// payload that is too large, and a client token that is none.
func ParseDelete(payload []byte, limits Limits) (clientToken string, err error) {
	root, err := parseObject(payload, limits.filled())
	switch {
	case errors.Is(err, ErrTooLarge):
		return "", err
	case err != nil:
		return "", nil
	}
	clientToken, _, err = token(root)
	return clientToken, err
}

// ParseToken reads the client token of a get request: an empty payload has
// none. Errors are *RequestError.
func ParseToken(payload []byte, limits Limits) (clientToken string, err error) {
	if len(payload) == 0 {
		return "", nil
	}
	root, err := parseObject(payload, limits.filled())
	if err != nil {
		return "", err
	}
	clientToken, _, err = token(root)
	return clientToken, err
}

func parseObject(payload []byte, limits Limits) (*node, error) {
	if len(payload) > limits.MaxRequestBytes {
		e := refuse(ErrTooLarge, "The payload exceeds the maximum size allowed")
		e.Detail = fmt.Sprintf("%d bytes, %d allowed", len(payload), limits.MaxRequestBytes)
		return nil, e
	}
	if !utf8.Valid(payload) {
		return nil, refuse(ErrEncoding, "Unsupported documented encoding; supported encoding is UTF-8")
	}
	root, deep, err := parse(string(payload))
	switch {
	case deep:
		return nil, tooDeep(limits)
	case err != nil:
		e := refuse(ErrInvalidRequest, "Invalid JSON")
		e.Detail = err.Error()
		return nil, e
	case root.kind != object:
		e := refuse(ErrInvalidRequest, "Invalid JSON")
		e.Detail = "the root is not an object"
		return nil, e
	}
	return &root, nil
}

func token(root *node) (clientToken string, has bool, err error) {
	n := root.member("clientToken")
	if n == nil {
		return "", false, nil
	}
	if n.kind == text {
		if s := unquote(n.text); len(s) <= maxToken {
			return s, true, nil
		}
	}
	return "", false, refuse(ErrInvalidRequest, "Invalid clientToken")
}

// read takes what is in root apart from the token.
func (r *Request) read(root *node) *RequestError {
	state := root.member("state") // ParseRequest has seen that it is there
	r.state = *state
	if state.kind != object && state.kind != null {
		return refuse(ErrInvalidRequest, "State node must be an object")
	}
	for i := range state.kids {
		k := &state.kids[i]
		name, isObject := unquote(k.key), k.kind == object || k.kind == null
		switch {
		case name == "desired" && !isObject:
			return refuse(ErrInvalidRequest, "Desired node must be an object")
		case name == "reported" && !isObject:
			return refuse(ErrInvalidRequest, "Reported node must be an object")
		case name != "desired" && name != "reported":
			return refuse(ErrInvalidRequest, fmt.Sprintf("State contains an invalid node: '%s'", clip(name)))
		}
	}
	for i := range state.kids {
		if state.kids[i].depth() > r.limits.MaxDepth {
			return tooDeep(r.limits)
		}
	}
	if r.state.nullInArray(false) {
		e := refuse(ErrInvalidRequest, "Invalid JSON")
		e.Detail = "null inside an array"
		return e
	}
	if v := root.member("version"); v != nil {
		var ok bool
		if v.kind == number {
			r.Version, ok = v.integer()
		}
		if !ok || r.Version < 0 {
			return refuse(ErrInvalidRequest, "Invalid version")
		}
		r.Locked = true
	}
	return nil
}

func tooDeep(l Limits) *RequestError {
	return refuse(ErrInvalidRequest,
		fmt.Sprintf("JSON contains too many levels of nesting; maximum is %d", l.MaxDepth))
}

// clip keeps what a stranger wrote from filling an error message.
func clip(s string) string {
	if len(s) <= maxToken {
		return s
	}
	n := maxToken
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}

package shadowdevice

import (
	"encoding/json"
	"errors"

	"github.com/thingloom/thingloom/shadow"
)

var (
	// ErrRefused reports a broker that refused a subscription or a publish,
	// as a rule by its policy.
	ErrRefused = errors.New("shadowdevice: refused by the broker")

	// ErrUnanswered reports a request without an answer, because none came in
	// time or the connection was lost. It may have had its effect.
	ErrUnanswered = errors.New("shadowdevice: no answer")

	// ErrRunning reports a Run beside another one.
	ErrRunning = errors.New("shadowdevice: already running")
)

// sentinels are the codes of rejected messages as errors of package shadow.
var sentinels = map[int]error{
	400: shadow.ErrInvalidRequest, 401: shadow.ErrUnauthorized, 403: shadow.ErrForbidden, 404: shadow.ErrNotFound,
	409: shadow.ErrVersionConflict, 413: shadow.ErrTooLarge, 415: shadow.ErrEncoding, 429: shadow.ErrTooManyRequests,
}

// errBusy is a fault of the service: code 500 and those that have no sentinel.
var errBusy = errors.New("shadowdevice: the service failed")

// rejected is the error of a rejected message: a *shadow.RequestError.
func rejected(payload []byte, token string) error {
	var m struct {
		Code    int
		Message string
	}
	if err := json.Unmarshal(payload, &m); err != nil {
		m.Message = "unreadable answer"
	}
	sentinel := sentinels[m.Code]
	if sentinel == nil {
		sentinel = errBusy
	}
	return &shadow.RequestError{Err: sentinel, Message: m.Message, ClientToken: token}
}

// final reports whether asking again would bring the same refusal.
func final(err error) bool {
	for _, e := range []error{shadow.ErrInvalidRequest, shadow.ErrUnauthorized, shadow.ErrForbidden, shadow.ErrTooLarge, shadow.ErrEncoding, shadow.ErrType, ErrRefused} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// unknown reports whether the request may have had its effect.
func unknown(err error) bool { return errors.Is(err, ErrUnanswered) || errors.Is(err, errBusy) }

package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// A DeviceRequest is what devices send, over MQTT and HTTP alike.
type DeviceRequest struct {
	Status       ExecutionStatus   `json:"status"`
	Details      map[string]string `json:"statusDetails"`
	Expected     *int64            `json:"expectedVersion"`
	Number       *int64            `json:"executionNumber"`
	IncludeState bool              `json:"includeJobExecutionState"`
	IncludeDoc   *bool             `json:"includeJobDocument"`
	StepMinutes  *int64            `json:"stepTimeoutInMinutes"`
	Token        string            `json:"clientToken"`
}

// ErrJSON reports a request that is not JSON in UTF-8. It is also an ErrInvalid.
var ErrJSON = fmt.Errorf("%w: not JSON", ErrInvalid)

// ParseDeviceRequest reads a request; an empty one is {}. Errors are ErrJSON and
// *InvalidError; the client token is there as far as it could be read.
func ParseDeviceRequest(text []byte) (r DeviceRequest, err error) {
	if len(text) == 0 {
		return r, nil
	}
	if !utf8.Valid(text) { // which encoding/json would mend in silence
		return r, fmt.Errorf("%w: not UTF-8", ErrJSON)
	}
	err = json.Unmarshal(text, &r)
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := te.Field
		if field == "" {
			field = "request"
		}
		return r, invalid(field, "cannot be a JSON %s", te.Value)
	}
	if se, ok := errors.AsType[*json.SyntaxError](err); ok {
		return DeviceRequest{}, fmt.Errorf("%w at byte %d: %v", ErrJSON, se.Offset, se)
	}
	if err != nil {
		return DeviceRequest{}, fmt.Errorf("%w: %v", ErrJSON, err)
	}
	if len(r.Token) > 64 {
		r.Token = ""
		return r, invalid("clientToken", "has more than 64 bytes")
	}
	for field, v := range map[string]*int64{"expectedVersion": r.Expected, "executionNumber": r.Number} {
		if v != nil && *v < 0 {
			return r, invalid(field, "is negative")
		}
	}
	if r.StepMinutes != nil && *r.StepMinutes == 0 {
		return r, invalid("stepTimeoutInMinutes", "is 0, not -1 or 1 to %d", maxMinutes)
	}
	return r, nil
}

func orZero(v *int64) int64 {
	if v == nil {
		return 0
	}
	return *v
}

// Start returns the request as that of StartNext.
func (r *DeviceRequest) Start() Start { return Start{r.Details, orZero(r.StepMinutes)} }

// Attempt returns the executionNumber, 0 for none.
func (r *DeviceRequest) Attempt() int64 { return orZero(r.Number) }

// Update returns the request as that of Update.
func (r *DeviceRequest) Update() Update {
	return Update{Status: r.Status, Details: r.Details, ExpectedVersion: orZero(r.Expected), Number: orZero(r.Number), StepMinutes: orZero(r.StepMinutes)}
}

// WithDocument reports whether the answer is to have the job document.
func (r *DeviceRequest) WithDocument(byDefault bool) bool {
	if r.IncludeDoc == nil {
		return byDefault
	}
	return *r.IncludeDoc
}

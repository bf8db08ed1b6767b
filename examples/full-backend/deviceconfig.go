package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A deviceConfig is what an app may set on a device. Absent members are left
// as they are on the device.
type deviceConfig struct {
	IntervalSeconds *float64 `json:"intervalSeconds,omitempty"` // 0.1 to 86400
	Unit            *string  `json:"unit,omitempty"`            // "C" or "F"
	Label           *string  `json:"label,omitempty"`           // at most 64 bytes
}

// checkConfig is the function that scenario 2 calls: it takes the JSON that an
// app sent and returns it in compact form, or says what is wrong with it.
func checkConfig(body []byte) ([]byte, error) {
	body = bytes.TrimSpace(body)
	if !json.Valid(body) {
		return nil, errors.New("the body is not valid JSON")
	}
	if body[0] != '{' {
		return nil, errors.New("the body must be a JSON object")
	}
	var c deviceConfig
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return nil, fmt.Errorf("%s: a %s is not allowed here", wrong.Field, wrong.Value)
		}
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("text after the JSON object")
	}
	switch {
	case c == deviceConfig{}:
		return nil, errors.New("the object is empty: nothing to set")
	case c.IntervalSeconds != nil && (*c.IntervalSeconds < 0.1 || *c.IntervalSeconds > 86400):
		return nil, fmt.Errorf("intervalSeconds: %v is not in 0.1 to 86400", *c.IntervalSeconds)
	case c.Unit != nil && *c.Unit != "C" && *c.Unit != "F":
		return nil, fmt.Errorf("unit: %q is neither \"C\" nor \"F\"", *c.Unit)
	case c.Label != nil && len(*c.Label) > 64:
		return nil, fmt.Errorf("label: %d bytes, at most 64 are allowed", len(*c.Label))
	}
	var compact bytes.Buffer
	err := json.Compact(&compact, body)
	return compact.Bytes(), err
}

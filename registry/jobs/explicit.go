package jobs

import "encoding/json"

// What is absent from a configuration has a default; a zero that is written
// there is one outside of its range, and refused rather than taken for absent.

// UnmarshalJSON reads the JSON form of AWS.
func (p *Presign) UnmarshalJSON(text []byte) error {
	type plain Presign
	var seconds struct {
		Value *int64 `json:"expiresInSec"`
	}
	return explicit(text, (*plain)(p), &seconds, func() error {
		return notZero("presignedUrlConfig.expiresInSec", seconds.Value, 60, 3600)
	})
}

// UnmarshalJSON reads the JSON form of AWS.
func (r *Rollout) UnmarshalJSON(text []byte) error {
	type plain Rollout
	var rate struct {
		Value *int64 `json:"maximumPerMinute"`
	}
	return explicit(text, (*plain)(r), &rate, func() error {
		return notZero("jobExecutionsRolloutConfig.maximumPerMinute", rate.Value, 1, 1000)
	})
}

// UnmarshalJSON reads the JSON form of AWS.
func (t *Timeout) UnmarshalJSON(text []byte) error {
	type plain Timeout
	var minutes struct {
		Value *int64 `json:"inProgressTimeoutInMinutes"`
	}
	return explicit(text, (*plain)(t), &minutes, func() error {
		return notZero("timeoutConfig.inProgressTimeoutInMinutes", minutes.Value, 1, maxMinutes)
	})
}

// explicit decodes text into both, and checks.
func explicit(text []byte, to, present any, check func() error) error {
	if err := json.Unmarshal(text, to); err != nil {
		return err
	}
	if err := json.Unmarshal(text, present); err != nil {
		return err
	}
	return check()
}

func notZero(field string, v *int64, low, high int64) error {
	if v == nil || *v != 0 {
		return nil // what else is out of range is found later, also in what is made in Go
	}
	return between(field, *v, low, high)
}

package defender

import "time"

// A Profile says what is normal for the things it is attached to. Its JSON form
// is how it is stored.
type Profile struct {
	Name         string                 `json:"name"` // 1 to 128 of [a-zA-Z0-9:_-]
	Description  string                 `json:"description,omitempty"`
	Behaviors    []Behavior             `json:"behaviors,omitempty"` // at most 100
	AlertTargets map[string]AlertTarget `json:"alertTargets,omitempty"`
	Retain       []Retained             `json:"retain,omitempty"`
	Tags         map[string]string      `json:"tags,omitempty"`
	Version      int64                  `json:"version"` // 1 at first
	Created      time.Time              `json:"created"`
	Modified     time.Time              `json:"modified"`
}

// An AlertTarget is kept for clients that set it; alerts go to observers.
type AlertTarget struct {
	ARN     string `json:"alertTargetArn"`
	RoleARN string `json:"roleArn"`
}

// A Retained names a metric whose values are kept, one for each slot of five
// minutes; those of behaviors are not unless they are named here (our choice).
type Retained struct {
	Metric    string     `json:"metric"`
	Dimension *Dimension `json:"metricDimension,omitempty"`
	Export    bool       `json:"exportMetric,omitempty"`
}

// A Behavior is one thing that is normal. Its JSON form is that of AWS.
type Behavior struct {
	Name      string     `json:"name"`
	Metric    string     `json:"metric,omitempty"` // "aws:num-messages-sent", or the name of a custom metric
	Dimension *Dimension `json:"metricDimension,omitempty"`
	Criteria  *Criteria  `json:"criteria,omitempty"`
	Suppress  bool       `json:"suppressAlerts,omitempty"` // no events, but violations
	Export    bool       `json:"exportMetric,omitempty"`
}

// A Dimension narrows a metric down to messages whose topic matches the
// filters of a TopicDimension, or with NOT_IN matches none.
type Dimension struct {
	Name     string `json:"dimensionName"`
	Operator string `json:"operator,omitempty"` // IN, the default, or NOT_IN
}

// A Criteria holds for data points that are normal.
type Criteria struct {
	Operator  string     `json:"comparisonOperator,omitempty"`
	Value     *Value     `json:"value,omitempty"`
	Statistic *Statistic `json:"statisticalThreshold,omitempty"`
	ML        *struct {
		Confidence string `json:"confidenceLevel"`
	} `json:"mlDetectionConfig,omitempty"` // refused
	Seconds int `json:"durationSeconds,omitempty"`              // 300, 600, 900, 1800 or 3600
	ToAlarm int `json:"consecutiveDatapointsToAlarm,omitempty"` // 1 to 10; 0 is 1
	ToClear int `json:"consecutiveDatapointsToClear,omitempty"`
}

// Type is STATIC or STATISTICAL.
func (c *Criteria) Type() string {
	if c != nil && c.Statistic != nil {
		return "STATISTICAL"
	}
	return "STATIC"
}

// A Statistic makes the threshold of what the fleet does: the value that so many
// percent of the things do not exceed.
type Statistic struct {
	Name string `json:"statistic"` // p0, p0.1, ... p100
}

// A Value is what a metric is compared with, or what it was.
type Value struct {
	Count   *int64    `json:"count,omitempty"`
	CIDRs   []string  `json:"cidrs,omitempty"`
	Ports   []int     `json:"ports,omitempty"`
	Number  *float64  `json:"number,omitempty"`
	Numbers []float64 `json:"numbers,omitempty"`
	Strings []string  `json:"strings,omitempty"`
}

// A CustomMetric is one that devices report under a name of their own.
type CustomMetric struct {
	Name        string            `json:"name"`
	DisplayName string            `json:"displayName,omitempty"`
	Type        string            `json:"type"` // string-list, ip-address-list, number-list or number
	Tags        map[string]string `json:"tags,omitempty"`
	Token       string            `json:"token,omitempty"` // of the request that made it: the same again is fine
	Created     time.Time         `json:"created"`
	Modified    time.Time         `json:"modified,omitzero"` // zero if it never was
}

// A TopicDimension is a list of topic filters with a name.
type TopicDimension struct {
	Name     string            `json:"name"`
	Filters  []string          `json:"filters"`
	Tags     map[string]string `json:"tags,omitempty"`
	Token    string            `json:"token,omitempty"` // as of a CustomMetric
	Created  time.Time         `json:"created"`
	Modified time.Time         `json:"modified,omitzero"`
}

// A Violation is a behavior that a thing does not show at the moment.
type Violation struct {
	ID       string    `json:"id"`
	Thing    string    `json:"thing"`
	Profile  string    `json:"profile"`
	Behavior Behavior  `json:"behavior"`
	Value    Value     `json:"value"` // the last that was not normal
	Start    time.Time `json:"start"`
	Last     time.Time `json:"last"`
}

// The types of violation events.
const (
	InAlarm     = "in-alarm"
	Cleared     = "alarm-cleared"
	Invalidated = "alarm-invalidated"
)

// A ViolationEvent is the beginning or end of a violation.
type ViolationEvent struct {
	Violation
	Type string    `json:"type"`
	Time time.Time `json:"time"`
}

// A Verification is what people found out about a violation.
type Verification struct {
	State       string `json:"state"` // TRUE_POSITIVE, BENIGN_POSITIVE, FALSE_POSITIVE or UNKNOWN
	Description string `json:"description,omitempty"`
}

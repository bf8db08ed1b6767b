package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/thingloom/thingloom/internal/tagset"
)

// A Rule is one topic rule: a statement, and what to do with what it selects.
// Its JSON is the rule object of AWS IoT, with ruleName and what the Engine
// stamps beside it:
//
//	{"ruleName": "hot", "sql": "SELECT t FROM 'sensors/+' WHERE t > 30",
//	 "actions": [{"republish": {"topic": "alerts/${topic(2)}"}}],
//	 "errorAction": {"log": {}}}
type Rule struct {
	// Name has 1 to 128 of the characters A-Z, a-z, 0-9 and _.
	Name string `json:"ruleName"`

	// SQL is the statement, SQLVersion the version of the language it is
	// written in. Empty means the default of [Options.Compile].
	SQL        string `json:"sql"`
	SQLVersion string `json:"awsIotSqlVersion,omitempty"`

	Description string `json:"description,omitempty"`

	// Disabled is the desired state; it outlives a restart.
	Disabled bool `json:"ruleDisabled,omitempty"`

	// Actions run once each for every message that the statement selects.
	// None is allowed: the rule then only counts.
	Actions []ActionSpec `json:"actions"`

	// ErrorAction, if set, runs once for a message when at least one of
	// Actions has finally failed. It gets an [ErrorDocument].
	ErrorAction *ActionSpec `json:"errorAction,omitempty"`

	// Tags are labels that mean nothing to the Engine: at most 50, keys of 1 to
	// 128 and values of at most 256 characters. A replacement without any (nil)
	// keeps those that the rule has.
	Tags map[string]string `json:"tags,omitempty"`

	// The rest is set by the Engine. ID is made at creation and stays until
	// the rule is deleted; Version is 1 at creation and grows by one with each
	// edit. Put and Replace compare a Version that is not 0 with the stored
	// one, see [ErrVersionConflict].
	ID        string    `json:"id,omitempty"`
	Version   int64     `json:"version,omitempty"`
	CreatedAt time.Time `json:"createdAt,omitzero"`
	UpdatedAt time.Time `json:"updatedAt,omitzero"`
}

// clone shares no memory with r.
func (r Rule) clone() Rule {
	r.Tags = maps.Clone(r.Tags)
	r.Actions = slices.Clone(r.Actions)
	for i := range r.Actions {
		r.Actions[i].Params = bytes.Clone(r.Actions[i].Params)
	}
	if r.ErrorAction != nil {
		spec := *r.ErrorAction
		spec.Params = bytes.Clone(spec.Params)
		r.ErrorAction = &spec
	}
	return r
}

// An ActionSpec names an action and gives its parameters, a JSON object. Its
// JSON is an object with one member:
//
//	{"republish": {"topic": "alerts", "qos": 1}}
type ActionSpec struct {
	Type   string
	Params json.RawMessage
}

// MarshalJSON writes the object with one member.
func (s ActionSpec) MarshalJSON() ([]byte, error) {
	out, err := encode(s.Type)
	if err != nil {
		return nil, err
	}
	out = append(append([]byte{'{'}, out...), ':')
	if len(s.Params) == 0 {
		return append(out, "{}}"...), nil
	}
	return append(append(out, s.Params...), '}'), nil
}

// encode is json.Marshal without the escapes that HTML needs, which would make
// other bytes of parameters and a statement unreadable.
func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// UnmarshalJSON reads an object with exactly one member.
func (s *ActionSpec) UnmarshalJSON(text []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return errors.New(`rules: an action is an object with one member, {"<name>": {<parameters>}}`)
	}
	if len(members) != 1 {
		return fmt.Errorf("rules: an action is an object with one member, not %d", len(members))
	}
	for name, params := range members {
		s.Type, s.Params = name, params
	}
	return nil
}

// check finds what is wrong with r without compiling or binding anything.
func (o *options) check(r *Rule) error {
	if err := CheckName(r.Name); err != nil {
		return &RuleError{Rule: r.Name, Field: "ruleName", Err: err}
	}
	if r.SQL == "" {
		return &RuleError{Rule: r.Name, Field: "sql", Err: errors.New("missing")}
	}
	if n := len(r.Actions); o.MaxActions >= 0 && n > o.MaxActions {
		return &RuleError{Rule: r.Name, Field: "actions", Err: fmt.Errorf("%d actions, at most %d", n, o.MaxActions)}
	}
	for i := range r.Actions {
		if err := checkSpec(&r.Actions[i]); err != nil {
			return &RuleError{Rule: r.Name, Field: actionField(i), Err: err}
		}
	}
	if r.ErrorAction != nil {
		if err := checkSpec(r.ErrorAction); err != nil {
			return &RuleError{Rule: r.Name, Field: actionField(ErrorAction), Err: err}
		}
	}
	if err := tagset.Check(r.Tags); err != nil {
		return &RuleError{Rule: r.Name, Field: "tags", Err: err}
	}
	if n := r.size(); o.MaxRuleBytes >= 0 && n > o.MaxRuleBytes {
		return &RuleError{Rule: r.Name, Field: "rule", Err: fmt.Errorf("%d bytes, at most %d", n, o.MaxRuleBytes)}
	}
	return nil
}

// size is that of the rule payload: statement, actions, error action, version
// and description as JSON.
func (r *Rule) size() int {
	text, err := encode(Rule{SQL: r.SQL, SQLVersion: r.SQLVersion, Description: r.Description,
		Disabled: r.Disabled, Actions: r.Actions, ErrorAction: r.ErrorAction})
	if err != nil { // checkSpec has seen to it that parameters are JSON
		panic("rules: " + err.Error())
	}
	return len(text) - len(`"ruleName":"",`)
}

// CheckName reports whether name may name a rule: 1 to 128 of the characters
// A-Z, a-z, 0-9 and _.
func CheckName(name string) error {
	if name == "" || len(name) > 128 {
		return fmt.Errorf("a name has 1 to 128 characters, this one %d", len(name))
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
		default:
			return fmt.Errorf("name: byte %d is %q, want A-Z, a-z, 0-9 or _", i, c)
		}
	}
	return nil
}

func checkSpec(s *ActionSpec) error {
	if s.Type == "" {
		return errors.New("an action needs a name")
	}
	if len(s.Params) == 0 {
		return nil
	}
	if !json.Valid(s.Params) {
		return fmt.Errorf("%s: parameters are not JSON", s.Type)
	}
	if trimmed := bytes.TrimLeft(s.Params, " \t\r\n"); trimmed[0] != '{' {
		return fmt.Errorf("%s: parameters are not a JSON object", s.Type)
	}
	return nil
}

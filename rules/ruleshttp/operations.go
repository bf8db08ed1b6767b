package ruleshttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/internal/tagset"
	"github.com/thingloom/thingloom/internal/topic"
	"github.com/thingloom/thingloom/rules"
)

// A payload is a TopicRulePayload, the whole body of Create and Replace.
type payload struct {
	SQL         *string             `json:"sql"`
	SQLVersion  string              `json:"awsIotSqlVersion"`
	Description string              `json:"description"`
	Disabled    bool                `json:"ruleDisabled"`
	Actions     *[]rules.ActionSpec `json:"actions"`
	ErrorAction *rules.ActionSpec   `json:"errorAction"`
}

// decode makes a rule of a payload.
func (h *handler) decode(name string, body []byte) (rules.Rule, error) {
	var p payload
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(&p)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is more after the object")
		}
	}
	switch {
	case err != nil:
		return rules.Rule{}, requestError{fmt.Errorf("the rule payload cannot be read: %w", err)}
	case p.SQL == nil:
		return rules.Rule{}, requestError{errors.New("the rule payload has no member sql")}
	case p.Actions == nil:
		return rules.Rule{}, requestError{errors.New("the rule payload has no member actions")}
	}
	rule := rules.Rule{Name: name, SQL: *p.SQL, SQLVersion: p.SQLVersion, Description: p.Description,
		Disabled: p.Disabled, Actions: *p.Actions, ErrorAction: p.ErrorAction}
	if h.opts.RequireRoles {
		return rule, checkRoles(rule)
	}
	return rule, nil
}

func create(h *handler, r *http.Request, name string, body []byte) (any, error) {
	rule, err := h.decode(name, body)
	if err != nil {
		return nil, err
	}
	if rule.Tags, err = tagset.Parse(r.Header.Get("x-amz-tagging")); err != nil {
		return nil, requestError{fmt.Errorf("x-amz-tagging %w", err)}
	}
	_, err = h.engine.Create(r.Context(), rule)
	return nil, err
}

func replace(h *handler, r *http.Request, name string, body []byte) (any, error) {
	rule, err := h.decode(name, body)
	if err != nil {
		return nil, err
	}
	_, err = h.engine.Replace(r.Context(), rule)
	return nil, err
}

func remove(h *handler, r *http.Request, name string, _ []byte) (any, error) {
	return nil, h.engine.Delete(r.Context(), name)
}

func enable(h *handler, r *http.Request, name string, _ []byte) (any, error) {
	return nil, h.engine.Enable(r.Context(), name)
}

func disable(h *handler, r *http.Request, name string, _ []byte) (any, error) {
	return nil, h.engine.Disable(r.Context(), name)
}

// A topicRule is what Get returns of a rule.
type topicRule struct {
	Name        string             `json:"ruleName"`
	SQL         string             `json:"sql"`
	SQLVersion  string             `json:"awsIotSqlVersion,omitempty"`
	Description string             `json:"description,omitempty"`
	Disabled    bool               `json:"ruleDisabled"`
	CreatedAt   epoch              `json:"createdAt"`
	Actions     []rules.ActionSpec `json:"actions"`
	ErrorAction *rules.ActionSpec  `json:"errorAction,omitempty"`
}

// An epoch is a time as the protocol writes it: seconds since 1970, with a
// fraction of milliseconds.
type epoch time.Time

func (e epoch) MarshalJSON() ([]byte, error) {
	ms := time.Time(e).UnixMilli()
	return strconv.AppendFloat(nil, float64(ms)/1000, 'f', -1, 64), nil
}

func get(h *handler, _ *http.Request, name string, _ []byte) (any, error) {
	info, err := h.engine.Rule(name)
	if err != nil {
		return nil, err
	}
	rule := topicRule{Name: info.Name, SQL: info.SQL, SQLVersion: info.SQLVersion, Description: info.Description,
		Disabled: info.Disabled, CreatedAt: epoch(info.CreatedAt), Actions: info.Actions, ErrorAction: info.ErrorAction}
	if rule.SQLVersion == "" {
		rule.SQLVersion = info.Language
	}
	if rule.Actions == nil {
		rule.Actions = []rules.ActionSpec{}
	}
	return struct {
		ARN  string    `json:"ruleArn"`
		Rule topicRule `json:"rule"`
	}{h.arn(name), rule}, nil
}

// A listItem is a TopicRuleListItem.
type listItem struct {
	ARN       string `json:"ruleArn"`
	Name      string `json:"ruleName"`
	Topic     string `json:"topicPattern,omitempty"`
	CreatedAt epoch  `json:"createdAt"`
	Disabled  bool   `json:"ruleDisabled"`
}

const (
	defaultResults = 100
	maxResults     = 10_000
)

// list pages through the rules in the order of their names. The token is the
// last name given, so that edits between two pages neither repeat nor skip a
// rule. The parameter topic selects the rules that a message on it reaches, or
// whose filter it is.
func list(h *handler, r *http.Request, _ string, _ []byte) (any, error) {
	query := r.URL.Query()
	limit := defaultResults
	if s := query.Get("maxResults"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxResults {
			return nil, requestError{fmt.Errorf("maxResults is %q, want 1 to %d", s, maxResults)}
		}
		limit = n
	}
	after, ok := awshttp.OpenToken("ListTopicRules", query.Get("nextToken"))
	if !ok {
		return nil, requestError{errors.New("nextToken is not one of ours")}
	}
	var disabled *bool
	if s := query.Get("ruleDisabled"); s != "" {
		b, err := strconv.ParseBool(s)
		if err != nil {
			return nil, requestError{fmt.Errorf("ruleDisabled is %q, want true or false", s)}
		}
		disabled = &b
	}
	name := query.Get("topic")
	out := struct {
		Rules     []listItem `json:"rules"`
		NextToken string     `json:"nextToken,omitempty"`
	}{Rules: []listItem{}}
	for info := range h.engine.Rules() {
		if info.Name <= after || disabled != nil && info.Disabled != *disabled ||
			name != "" && (info.Filter == "" || info.Filter != name && !topic.MatchBelow(info.Filter, name)) {
			continue
		}
		if len(out.Rules) == limit {
			out.NextToken = awshttp.SealToken("ListTopicRules", out.Rules[limit-1].Name)
			break
		}
		out.Rules = append(out.Rules, listItem{h.arn(info.Name), info.Name, info.Filter, epoch(info.CreatedAt), info.Disabled})
	}
	return out, nil
}

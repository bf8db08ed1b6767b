package defender

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// texts is one text or a list of them.
type texts []string

func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = texts{one}
		return nil
	}
	var all []string
	err := json.Unmarshal(b, &all)
	*t = all
	return err
}

type policyStatement struct {
	Effect           string
	Action, Resource texts
	NotAction        texts
	NotResource      texts
}

// statements are those of a policy document; none of one that cannot be read,
// which the registry does not keep.
func statements(document string) (all []policyStatement) {
	var d struct{ Statement json.RawMessage }
	if json.Unmarshal([]byte(document), &d) != nil {
		return nil
	}
	if json.Unmarshal(d.Statement, &all) != nil {
		all = make([]policyStatement, 1)
		if json.Unmarshal(d.Statement, &all[0]) != nil {
			return nil
		}
	}
	return all
}

// permissive says why a policy allows more than one device needs; empty if it
// does not. That is so for an Allow of an action of the data plane on all
// resources of its kind: everything, all topics, all clients, whatever
// variables are not asked. Conditions are not looked at.
func permissive(document string) string {
	for i, st := range statements(document) {
		if st.Effect != "Allow" {
			continue
		}
		if len(st.NotAction) > 0 || len(st.NotResource) > 0 {
			return fmt.Sprintf("Statement %d allows all but what it names.", i)
		}
		for _, action := range st.Action {
			for _, resource := range st.Resource {
				if broadAction(action) && broadResource(resource) {
					return fmt.Sprintf("Statement %d allows %s on %s.", i, action, resource)
				}
			}
		}
	}
	return ""
}

func broadAction(action string) bool {
	a := strings.ToLower(action)
	return a == "*" || strings.HasPrefix(a, "iot:") && (strings.HasSuffix(a, "*") ||
		slices.Contains([]string{"iot:connect", "iot:publish", "iot:subscribe", "iot:receive", "iot:retainpublish",
			"iot:getthingshadow", "iot:updatethingshadow", "iot:deletethingshadow"}, a))
}

func broadResource(resource string) bool {
	if resource == "*" {
		return true
	}
	parts := strings.SplitN(resource, ":", 6) // arn:aws:iot:region:account:kind/name
	if len(parts) < 6 {
		return strings.Trim(resource, "*") == ""
	}
	if parts[5] == "*" {
		return true
	}
	_, name, _ := strings.Cut(parts[5], "/")
	return name != "" && strings.Trim(name, "*#/+") == ""
}

// misconfigured says what of a policy hardly does what was meant, with the code
// of AWS; empty if nothing.
func misconfigured(document string) (reason, code string) {
	var allowed []string // topic filters with a wildcard that may be subscribed to
	all := statements(document)
	for i, st := range all {
		for _, resource := range st.Resource {
			kind, name, ok := topicOf(resource)
			if !ok {
				continue
			}
			if st.Effect == "Deny" && hasLevel(name, "+", "#") {
				return fmt.Sprintf("Statement %d denies %s, in which + and # are no wildcards: a policy has * and ?.", i, resource), "POLICY_CONTAINS_MQTT_WILDCARDS_IN_DENY_STATEMENT"
			}
			if st.Effect == "Allow" && kind == "topicfilter" && st.subscribes() && strings.Contains(name, "*") {
				allowed = append(allowed, name)
			}
		}
	}
	for i, st := range all {
		for _, resource := range st.Resource {
			kind, name, ok := topicOf(resource)
			if !ok || st.Effect != "Deny" || kind != "topicfilter" || !st.subscribes() {
				continue
			}
			for _, wide := range allowed {
				if before, _, _ := strings.Cut(wide, "*"); wide != name && strings.HasPrefix(name, before) && !deniesReceive(all, name) {
					return fmt.Sprintf("Statement %d denies to subscribe to %s, which a wider filter that %q allows gets all the same.", i, name, wide), "TOPIC_FILTERS_INTENDED_TO_DENY_ALLOWED_USING_WILDCARDS"
				}
			}
		}
	}
	return "", ""
}

func (st *policyStatement) subscribes() bool { return st.names("iot:subscribe") }

func (st *policyStatement) names(action string) bool {
	return slices.ContainsFunc(st.Action, func(a string) bool {
		a = strings.ToLower(a)
		return a == action || a == "*" || a == "iot:*"
	})
}

// deniesReceive reports whether the messages on a topic are denied too.
func deniesReceive(all []policyStatement, name string) bool {
	return slices.ContainsFunc(all, func(st policyStatement) bool {
		return st.Effect == "Deny" && st.names("iot:receive") && slices.ContainsFunc(st.Resource, func(r string) bool {
			kind, denied, ok := topicOf(r)
			before, _, wild := strings.Cut(denied, "*")
			return r == "*" || ok && kind == "topic" && (denied == name || wild && strings.HasPrefix(name, before))
		})
	})
}

// topicOf splits the ARN of a topic or topic filter.
func topicOf(resource string) (kind, name string, ok bool) {
	parts := strings.SplitN(resource, ":", 6)
	if len(parts) < 6 {
		return "", "", false
	}
	kind, name, ok = strings.Cut(parts[5], "/")
	return kind, name, ok && (kind == "topic" || kind == "topicfilter")
}

func hasLevel(name string, levels ...string) bool {
	return slices.ContainsFunc(strings.Split(name, "/"), func(l string) bool { return slices.Contains(levels, l) })
}

package policy

// A Policy is a document with the name and version that decisions call it by.
type Policy struct {
	Name, Version string
	Doc           *Document
}

// A Set is all policies that count for somebody. It is immutable and safe for
// concurrent use.
type Set struct{ policies []Policy }

// NewSet makes a set.
func NewSet(policies ...Policy) *Set { return &Set{policies: policies} }

// Policies returns the policies of the set: do not modify.
func (s *Set) Policies() []Policy { return s.policies }

// A Request is one question.
type Request struct {
	Action   string // such as "iot:Publish", without regard to case
	Resource string // the whole ARN, or "*"
	Context  *Context
}

// An Effect is an answer.
type Effect uint8

// The answers.
const (
	ImplicitDeny Effect = iota // no statement applies
	ExplicitDeny               // a Deny statement applies
	Allow                      // an Allow statement applies and no Deny does
)

// A Decision is an answer and the statement that decided.
type Decision struct {
	Effect          Effect
	Policy, Version string // empty for ImplicitDeny
	Statement       int    // index, from 0
	Sid             string
}

type statement struct {
	sid                    string
	deny                   bool
	notAction, notResource bool
	actions                []string
	known                  uint64 // bits of the known actions that actions match
	resources              []pattern
	conditions             []condition
}

// knownActions are those whose matching is worked out beforehand; a
// statement keeps one bit for each. At most 64.
var knownActions = [...]string{
	"iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive", "iot:RetainPublish",
	"iot:GetRetainedMessage", "iot:ListRetainedMessages",
	"iot:GetThingShadow", "iot:UpdateThingShadow", "iot:DeleteThingShadow", "iot:ListNamedShadowsForThing",
	"iot:DescribeJobExecution", "iot:GetPendingJobExecutions", "iot:StartNextPendingJobExecution", "iot:UpdateJobExecution",
}

func knownAction(action string) int {
	for i, a := range &knownActions {
		if a == action {
			return i
		}
	}
	return -1
}

// index works out which of the known actions match.
func (s *statement) index() {
	for i, known := range &knownActions {
		if s.matchAction(known) {
			s.known |= 1 << i
		}
	}
}

func (s *statement) matchAction(action string) bool {
	for _, p := range s.actions {
		if glob(p, action) {
			return true
		}
	}
	return false
}

// applies reports whether the statement has a say. known is the index of the
// action among knownActions, or -1.
func (s *statement) applies(r *Request, known int) bool {
	matches := known >= 0 && s.known&(1<<known) != 0 || known < 0 && s.matchAction(r.Action)
	if matches == s.notAction {
		return false
	}
	if !s.matchResource(r) {
		return false
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(r.Context) {
			return false
		}
	}
	return true
}

func (s *statement) matchResource(r *Request) bool {
	for i := range s.resources {
		if s.resources[i].match(r.Resource, r.Context) {
			return !s.notResource
		}
	}
	if !s.notResource {
		return false
	}
	for i := range s.resources {
		if !s.deny && !s.resources[i].resolved(r.Context) {
			return false
		}
	}
	return true
}

// noContext answers when a request has none. It is only read.
var noContext Context

// Decide answers the request.
func (s *Set) Decide(r *Request) Decision {
	if r.Context == nil {
		r = &Request{Action: r.Action, Resource: r.Resource, Context: &noContext}
	}
	known := knownAction(r.Action)
	var d Decision
	for i := range s.policies {
		p := &s.policies[i]
		for j := range p.Doc.statements {
			st := &p.Doc.statements[j]
			// Once something allows, only a Deny is of interest.
			if d.Effect == Allow && !st.deny || !st.applies(r, known) {
				continue
			}
			d = Decision{Effect: Allow, Policy: p.Name, Version: p.Version, Statement: j, Sid: st.sid}
			if st.deny {
				d.Effect = ExplicitDeny
				return d
			}
		}
	}
	return d
}

// All returns the decision of every statement that applies, in order: what
// Decide would choose from.
func (s *Set) All(r *Request) []Decision {
	if r.Context == nil {
		r = &Request{Action: r.Action, Resource: r.Resource, Context: &noContext}
	}
	known := knownAction(r.Action)
	var out []Decision
	for _, p := range s.policies {
		for j := range p.Doc.statements {
			st := &p.Doc.statements[j]
			if !st.applies(r, known) {
				continue
			}
			d := Decision{Effect: Allow, Policy: p.Name, Version: p.Version, Statement: j, Sid: st.sid}
			if st.deny {
				d.Effect = ExplicitDeny
			}
			out = append(out, d)
		}
	}
	return out
}

// Missing returns the names of variables and condition keys, as the documents
// write them, that statements matching the action ask for and c has no value
// for. A name comes once.
func (s *Set) Missing(action string, c *Context) []string {
	if c == nil {
		c = &noContext
	}
	var out []string
	seen := map[string]bool{}
	add := func(k *key, name string) {
		if k.index == allValues && len(c.list(k)) > 0 || seen[name] {
			return
		}
		if _, ok := c.single(k); k.index != allValues && ok {
			return
		}
		seen[name] = true
		out = append(out, name)
	}
	for _, p := range s.policies {
		for j := range p.Doc.statements {
			st := &p.Doc.statements[j]
			if st.matchAction(action) == st.notAction {
				continue
			}
			for i := range st.resources {
				st.resources[i].variables(add)
			}
			for i := range st.conditions {
				add(&st.conditions[i].key, st.conditions[i].keyName)
				for v := range st.conditions[i].values {
					st.conditions[i].values[v].text.variables(add)
				}
			}
		}
	}
	return out
}

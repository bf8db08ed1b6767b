package defender

import (
	"encoding/json"
	"maps"
	"slices"
)

// InViolation returns the things that have active violations, in order.
func (s *Service) InViolation() []string {
	s.eval.Lock()
	defer s.eval.Unlock()
	return slices.Sorted(maps.Keys(s.active))
}

// indexed is a violation as the fleet index has it.
type indexed struct {
	InViolation bool   `json:"inViolation"`
	Value       Value  `json:"lastViolationValue"`
	Time        int64  `json:"lastViolationTime"` // milliseconds
	Metric      string `json:"metricName"`
}

// IndexDocument returns the active violations of a thing as fleet indexing has
// them below deviceDefender: violationCount, and {profile}.{behavior}. It is nil
// for a thing without any.
func (s *Service) IndexDocument(thing string) json.RawMessage {
	s.eval.Lock()
	mine := maps.Clone(s.active[thing]) // what it holds is never changed
	s.eval.Unlock()
	if len(mine) == 0 {
		return nil
	}
	profiles := map[string]map[string]indexed{}
	for key, v := range mine {
		if profiles[key.profile] == nil {
			profiles[key.profile] = map[string]indexed{}
		}
		profiles[key.profile][key.behavior] = indexed{true, v.Value, v.Last.UnixMilli(), v.Behavior.Metric}
	}
	doc := map[string]any{}
	for name, behaviors := range profiles {
		doc[name] = behaviors
	}
	doc["violationCount"] = len(mine)
	text, err := json.Marshal(doc)
	if err != nil { // a number that is none: reports are JSON, so there is none
		return nil
	}
	return text
}

package awshttp

import (
	"encoding/json"

	"github.com/thingloom/thingloom/internal/tagset"
)

// Tags are the tags of a body, by their keys: a list over the wire. A list that
// breaks a rule is refused as it is read.
type Tags map[string]string

// UnmarshalJSON reads the list.
func (t *Tags) UnmarshalJSON(b []byte) error {
	var list tagset.List
	if err := json.Unmarshal(b, &list); err != nil {
		return &InputError{"tags", "is no list of Key and Value"}
	}
	tags, err := list.Map()
	if err != nil {
		return &InputError{"tags", err.Error()}
	}
	*t = tags
	return nil
}

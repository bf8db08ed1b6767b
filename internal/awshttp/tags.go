package awshttp

import "github.com/thingloom/thingloom/internal/tagset"

// Tags are the tags of a body's member.
func Tags(l tagset.List) (map[string]string, error) {
	tags, err := l.Map()
	if err != nil {
		return nil, &InputError{"tags", err.Error()}
	}
	return tags, nil
}

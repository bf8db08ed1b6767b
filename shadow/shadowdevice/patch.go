package shadowdevice

import (
	"encoding/json"
	"time"

	"github.com/thingloom/thingloom/shadow"
)

// wanted is what the device is to become: what it is, or was reported to be,
// with the delta merged into it.
func wanted[T any](is *T, reported, delta json.RawMessage) (want T, err error) {
	if is != nil {
		if reported, err = json.Marshal(is); err != nil {
			return want, err
		}
	}
	all, err := merged(reported, delta)
	if err != nil {
		return want, err
	}
	return want, json.Unmarshal(all, &want)
}

// merged is section after patch, by the rules of the service.
func merged(section, patch json.RawMessage) (json.RawMessage, error) {
	request := append(append([]byte(`{"state":{"reported":`), patch...), `}}`...)
	r, err := shadow.ParseRequest(request, shadow.Limits{MaxBytes: -1, MaxDepth: -1, MaxRequestBytes: -1})
	if err != nil {
		return nil, err
	}
	doc, err := r.Apply(shadow.Document{Version: 1, Reported: section}, time.Time{})
	if err == nil && doc.Reported == nil {
		doc.Reported = json.RawMessage("{}")
	}
	return doc.Reported, err
}

// reportOf is what has to be written so that reported is that of the device, nil
// if it is so. What T does not know is left alone.
func reportOf[T any](reported json.RawMessage, is T) (json.RawMessage, error) {
	to, err := json.Marshal(is)
	if err != nil {
		return nil, err
	}
	if reported == nil {
		return shadow.Patch(nil, to)
	}
	patch, err := shadow.Patch(reported, to)
	if err != nil || patch == nil {
		return nil, err
	}
	// Of what only reported has, T decides what was the device's: what
	// survives T and is not there any more is removed.
	var known T
	if json.Unmarshal(reported, &known) != nil {
		return shadow.Patch(nil, to) // written by someone else in another form
	}
	from, err := json.Marshal(known)
	if err != nil {
		return nil, err
	}
	removed, err := shadow.Patch(from, to)
	if err != nil {
		return nil, err
	}
	return only(patch, removed, reported, to), nil
}

// only leaves out of patch the nulls of members that T does not know, which are
// those not in removed, unless to has the null itself, and the nulls of members
// that are not there.
func only(patch, removed, reported, to json.RawMessage) json.RawMessage {
	p, r, have, t := members(patch), members(removed), members(reported), members(to)
	for name, value := range p {
		_, meant := t[name]
		switch {
		case string(value) == "null" && (have[name] == nil || !meant && r[name] == nil):
			delete(p, name)
		case len(value) > 0 && value[0] == '{' && len(have[name]) > 0 && have[name][0] == '{':
			if value = only(value, r[name], have[name], t[name]); value == nil {
				delete(p, name)
			} else {
				p[name] = value
			}
		}
	}
	return object(p)
}

// without is section without what the delta names.
func without(section, delta json.RawMessage) json.RawMessage {
	s, d := members(section), members(delta)
	if s == nil || d == nil {
		return section
	}
	for name, value := range d {
		if have := s[name]; len(have) > 0 && have[0] == '{' && value[0] == '{' {
			s[name] = without(have, value)
		} else {
			delete(s, name)
		}
	}
	if text := object(s); text != nil {
		return text
	}
	return json.RawMessage("{}")
}

// members is nil for what is no object.
func members(text json.RawMessage) (m map[string]json.RawMessage) {
	if json.Unmarshal(text, &m) != nil {
		return nil
	}
	return m
}

// object is nil without members.
func object(m map[string]json.RawMessage) json.RawMessage {
	if len(m) == 0 {
		return nil
	}
	text, err := json.Marshal(m)
	if err != nil { // raw messages that were decoded
		return nil
	}
	return text
}

package topic

import "strings"

// Match reports whether filter matches name by the MQTT standard
// [MQTT-4.7]. Both are taken as valid; a name is matched level by level, so
// wildcards in it mean nothing.
func Match(filter, name string) bool { return match(filter, name, false) }

// MatchBelow is [Match] with '#' as AWS IoT reads it: `a/#` does not match `a`.
func MatchBelow(filter, name string) bool { return match(filter, name, true) }

func match(filter, name string, below bool) bool {
	if filter == "" || name == "" {
		return false
	}
	if name[0] == '$' && (filter[0] == '+' || filter[0] == '#') {
		return false // [MQTT-4.7.2-1]
	}
	for {
		level, rest, more := strings.Cut(filter, "/")
		if level == "#" {
			return true
		}
		l, nrest, nmore := strings.Cut(name, "/")
		if level != "+" && level != l {
			return false
		}
		switch {
		case !more && !nmore:
			return true
		case !more:
			return false
		case !nmore:
			return rest == "#" && !below
		}
		filter, name = rest, nrest
	}
}

package topic

import "strings"

// End, from MatchOrSkip, says that no topic from here on matches. No topic
// begins with it, since 0xff does not occur in UTF-8.
const End = "\xff"

// MatchOrSkip helps to walk topics in order: it tells whether topic matches filter. If it does not, no topic
// between it and to matches either, to itself may; an empty to promises nothing.
//
// The order is that of bytes, in which the topics below "a/" lie together, but
// "a" does not stand beside them: "a", "a-b", "a/b".
func MatchOrSkip(filter, topic string) (match bool, to string) {
	if strings.HasPrefix(topic, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return false, "%" // [MQTT-4.7.2-1]; '%' is the byte after '$'
	}
	f, at := filter, 0 // the levels before f and topic[at:] match
	for {
		level, restF, moreF := strings.Cut(f, "/")
		if level == "#" {
			return true, ""
		}
		own, _, moreT := strings.Cut(topic[at:], "/")
		if level != "+" && level != own {
			return false, skipTo(topic, at, level, moreF)
		}
		switch {
		case !moreF && !moreT:
			return true, ""
		case !moreF:
			// Deeper than the filter: so is all else below this level.
			return false, topic[:at+len(own)] + "0" // the byte after '/'
		case !moreT && restF == "#":
			return true, "" // "a/#" matches "a" [MQTT-4.7.1-2]
		case !moreT:
			return false, "" // the topics below it come later, not next
		}
		f, at = restF, at+len(own)+1
	}
}

// skipTo is where to go from a topic that ought to have level at a place and
// has another: to that level, below it, or behind all that share the part
// before it.
func skipTo(topic string, at int, level string, more bool) string {
	for _, to := range []string{level, level + "/"} {
		if to = topic[:at] + to; to > topic {
			return to
		}
		if !more {
			break
		}
	}
	if at == 0 {
		return End
	}
	return topic[:at-1] + "0"
}

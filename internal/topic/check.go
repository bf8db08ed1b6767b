package topic

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxBytes is the length that the two length bytes on the wire allow [MQTT-4.7.3-3].
const MaxBytes = 65535

// An Error says what is wrong with a topic name or filter, and where.
type Error struct {
	Text   string // the name or filter
	Pos    int    // byte offset into Text of what is wrong
	Reason string
}

func (e *Error) Error() string {
	return fmt.Sprintf("topic %q: byte %d: %s", shorten(e.Text), e.Pos, e.Reason)
}

// shorten keeps a hostile text from filling a log.
func shorten(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}

// CheckName reports whether name may be published to: 1 to 65,535 bytes of
// UTF-8 without U+0000 and without the wildcards '+' and '#'
// [MQTT-3.3.2-2] [MQTT-4.7.0-1] [MQTT-4.7.3-1] [MQTT-4.7.3-2]. The error is an [*Error].
func CheckName(name string) error {
	if err := checkText(name); err != nil {
		return err
	}
	if i := strings.IndexAny(name, "+#"); i >= 0 {
		return &Error{name, i, "a topic name has no wildcards"}
	}
	return nil
}

// CheckFilter reports whether filter may be subscribed to: as [CheckName], and
// wildcards fill a whole level, '#' the last one [MQTT-4.7.1-1] [MQTT-4.7.1-2].
// A shared subscription is not known here: see [ParseShare]. The error is an
// [*Error].
func CheckFilter(filter string) error {
	if err := checkText(filter); err != nil {
		return err
	}
	for i := range len(filter) {
		switch filter[i] {
		case '+', '#':
			if i > 0 && filter[i-1] != '/' {
				return &Error{filter, i, "a wildcard stands alone in its level"}
			}
			if i+1 == len(filter) {
				continue
			}
			if filter[i] == '#' {
				return &Error{filter, i, "'#' is the last character"}
			}
			if filter[i+1] != '/' {
				return &Error{filter, i, "a wildcard stands alone in its level"}
			}
		}
	}
	return nil
}

func checkText(s string) error {
	switch {
	case s == "":
		return &Error{s, 0, "empty"}
	case len(s) > MaxBytes:
		return &Error{s, MaxBytes, "longer than 65535 bytes"}
	}
	if i := strings.IndexByte(s, 0); i >= 0 {
		return &Error{s, i, "U+0000 is not allowed"}
	}
	if !utf8.ValidString(s) {
		for i := 0; i < len(s); {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				return &Error{s, i, "not UTF-8"}
			}
			i += n
		}
	}
	return nil
}

// Levels counts the levels of a name or filter: one more than its slashes.
func Levels(s string) int { return strings.Count(s, "/") + 1 }

const sharePrefix = "$share/"

// ParseShare splits `$share/{group}/{filter}` [MQTT-4.8.2-1]. For any other
// filter group is empty and inner is filter. Both kinds are checked as
// [CheckFilter] does; the error is an [*Error] with positions in filter.
func ParseShare(filter string) (group, inner string, err error) {
	rest, shared := strings.CutPrefix(filter, sharePrefix)
	if !shared {
		return "", filter, CheckFilter(filter)
	}
	group, inner, ok := strings.Cut(rest, "/")
	switch {
	case !ok:
		return "", "", &Error{filter, len(filter), "a shared subscription needs a filter after its name"}
	case group == "":
		return "", "", &Error{filter, len(sharePrefix), "a shared subscription needs a name"}
	}
	if i := strings.IndexAny(group, "+#"); i >= 0 { // [MQTT-4.8.2-2]
		return "", "", &Error{filter, len(sharePrefix) + i, "the name of a shared subscription has no wildcards"}
	}
	if err := checkText(filter); err != nil {
		return "", "", err
	}
	if err := CheckFilter(inner); err != nil {
		at := err.(*Error)
		return "", "", &Error{filter, len(filter) - len(inner) + at.Pos, at.Reason}
	}
	return group, inner, nil
}

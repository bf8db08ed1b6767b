package sql

import (
	"fmt"
	"strings"
	"time"
)

// A zone is a time zone that a program has looked up; loc is nil if there is
// no such zone.
type zone struct{ loc *time.Location }

// maxZones bounds the zones that a program remembers, and zoneWork is what
// looking for one counts: it may be a file.
const (
	maxZones = 64
	zoneWork = 1000
)

// find is the zone of an ID, or nil.
func (c *zoneCache) find(id string) *time.Location {
	c.mu.Lock()
	defer c.mu.Unlock()
	if z, ok := c.zones[id]; ok {
		return z.loc
	}
	loc := loadZone(id)
	if c.zones == nil || len(c.zones) >= maxZones {
		c.zones = map[string]*zone{}
	}
	c.zones[id] = &zone{loc}
	return loc
}

// loadZone knows Z, offsets, UTC, GMT and UT with and without one, and the
// regions of the host's time zone data.
func loadZone(id string) *time.Location {
	rest := id
	for _, p := range []string{"UTC", "GMT", "UT"} {
		if r, ok := strings.CutPrefix(id, p); ok {
			rest = r
			break
		}
	}
	switch {
	case id == "" || len(id) > 64 || id == "Local":
		return nil
	case rest == "" || id == "Z":
		return time.FixedZone(strings.Replace(id, "Z", "UTC", 1), 0)
	}
	if secs, n := parseOffset(rest); n == len(rest) {
		return time.FixedZone(offsetText(secs, true), secs)
	}
	loc, err := time.LoadLocation(id)
	if err != nil {
		return nil
	}
	return loc
}

// parseOffset reads [+-]h, hh, hhmm, hh:mm, hhmmss or hh:mm:ss and tells how
// many bytes that took, 0 if there is none.
func parseOffset(s string) (secs, n int) {
	if s == "" || s[0] != '+' && s[0] != '-' {
		return 0, 0
	}
	two := func(i int) (int, bool) {
		if i+2 <= len(s) && isDigit(s[i]) && isDigit(s[i+1]) {
			return int(s[i]-'0')*10 + int(s[i+1]-'0'), true
		}
		return 0, false
	}
	h, ok := two(1)
	n = 3
	if !ok {
		if len(s) < 2 || !isDigit(s[1]) {
			return 0, 0
		}
		h, n = int(s[1]-'0'), 2
	}
	secs = h * 3600
	for _, unit := range []int{60, 1} {
		skip := 0
		if n < len(s) && s[n] == ':' {
			skip = 1
		}
		v, ok := two(n + skip)
		if !ok || v > 59 {
			break
		}
		secs += v * unit
		n += skip + 2
	}
	if secs > 18*3600 {
		return 0, 0
	}
	if s[0] == '-' {
		secs = -secs
	}
	return secs, n
}

func offsetText(secs int, colon bool) string {
	sign := '+'
	if secs < 0 {
		sign, secs = '-', -secs
	}
	if colon {
		return fmt.Sprintf("%c%02d:%02d", sign, secs/3600, secs/60%60)
	}
	return fmt.Sprintf("%c%02d%02d", sign, secs/3600, secs/60%60)
}

// zoneNames are abbreviations with a full name, a region where they hold, and
// the offset there in minutes. An abbreviation of several is read as the first.
var zoneNames = []struct {
	short, long, region string
	minutes             int
}{
	{"UTC", "Coordinated Universal Time", "UTC", 0},
	{"GMT", "Greenwich Mean Time", "UTC", 0},
	{"IST", "India Standard Time", "Asia/Kolkata", 330},
	{"CST", "Central Standard Time", "America/Chicago", -360},
	{"CDT", "Central Daylight Time", "America/Chicago", -300},
	{"BST", "British Summer Time", "Europe/London", 60},
	{"IST", "Irish Standard Time", "Europe/Dublin", 60},
	{"WET", "Western European Standard Time", "Europe/Lisbon", 0},
	{"WEST", "Western European Summer Time", "Europe/Lisbon", 60},
	{"CET", "Central European Standard Time", "Europe/Paris", 60},
	{"CEST", "Central European Summer Time", "Europe/Paris", 120},
	{"EET", "Eastern European Standard Time", "Europe/Athens", 120},
	{"EEST", "Eastern European Summer Time", "Europe/Athens", 180},
	{"MSK", "Moscow Standard Time", "Europe/Moscow", 180},
	{"IST", "Israel Standard Time", "Asia/Jerusalem", 120},
	{"IDT", "Israel Daylight Time", "Asia/Jerusalem", 180},
	{"PKT", "Pakistan Standard Time", "Asia/Karachi", 300},
	{"CST", "China Standard Time", "Asia/Shanghai", 480},
	{"HKT", "Hong Kong Standard Time", "Asia/Hong_Kong", 480},
	{"KST", "Korean Standard Time", "Asia/Seoul", 540},
	{"JST", "Japan Standard Time", "Asia/Tokyo", 540},
	{"AWST", "Australian Western Standard Time", "Australia/Perth", 480},
	{"ACST", "Australian Central Standard Time", "Australia/Adelaide", 570},
	{"ACDT", "Australian Central Daylight Time", "Australia/Adelaide", 630},
	{"AEST", "Australian Eastern Standard Time", "Australia/Sydney", 600},
	{"AEDT", "Australian Eastern Daylight Time", "Australia/Sydney", 660},
	{"NZST", "New Zealand Standard Time", "Pacific/Auckland", 720},
	{"NZDT", "New Zealand Daylight Time", "Pacific/Auckland", 780},
	{"WAT", "West Africa Standard Time", "Africa/Lagos", 60},
	{"CAT", "Central Africa Time", "Africa/Maputo", 120},
	{"SAST", "South Africa Standard Time", "Africa/Johannesburg", 120},
	{"EAT", "East Africa Time", "Africa/Nairobi", 180},
	{"HST", "Hawaii-Aleutian Standard Time", "Pacific/Honolulu", -600},
	{"AKST", "Alaska Standard Time", "America/Anchorage", -540},
	{"AKDT", "Alaska Daylight Time", "America/Anchorage", -480},
	{"PST", "Pacific Standard Time", "America/Los_Angeles", -480},
	{"PDT", "Pacific Daylight Time", "America/Los_Angeles", -420},
	{"MST", "Mountain Standard Time", "America/Denver", -420},
	{"MDT", "Mountain Daylight Time", "America/Denver", -360},
	{"EST", "Eastern Standard Time", "America/New_York", -300},
	{"EDT", "Eastern Daylight Time", "America/New_York", -240},
	{"AST", "Atlantic Standard Time", "America/Halifax", -240},
	{"ADT", "Atlantic Daylight Time", "America/Halifax", -180},
	{"NST", "Newfoundland Standard Time", "America/St_Johns", -210},
	{"NDT", "Newfoundland Daylight Time", "America/St_Johns", -150},
}

// A field is a run of one pattern letter, or literal text when letter is 0.
type field struct {
	letter byte
	count  int
	text   string
}

func (f field) isZone() bool { return f.letter != 0 && strings.IndexByte("VzOXxZ", f.letter) >= 0 }

// splitPattern takes a pattern apart. Quotes make letters literal, two quotes
// stand for one. Every letter must be one of letters.
func splitPattern(s, letters string) ([]field, bool) {
	var all []field
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\'':
			if strings.HasPrefix(s[i:], "''") {
				all = append(all, field{text: "'"})
				i += 2
				continue
			}
			var b strings.Builder
			for i++; ; i++ {
				if i >= len(s) {
					return nil, false
				}
				if s[i] != '\'' {
					b.WriteByte(s[i])
				} else if i+1 < len(s) && s[i+1] == '\'' {
					b.WriteByte('\'')
					i++
				} else {
					break
				}
			}
			i++
			all = append(all, field{text: b.String()})
		case c|0x20 >= 'a' && c|0x20 <= 'z' || strings.IndexByte("[]{}#", c) >= 0 && strings.IndexByte(letters, '[') >= 0:
			j := i
			for j < len(s) && s[j] == c && c != '[' && c != ']' {
				j++
			}
			j = max(j, i+1)
			if strings.IndexByte(letters, c) < 0 || j-i > 19 {
				return nil, false
			}
			all = append(all, field{letter: c, count: j - i})
			i = j
		default:
			all = append(all, field{text: s[i : i+1]})
			i++
		}
	}
	return all, true
}

package sql

import (
	"encoding/base64"
	"regexp"
	"strings"
	"time"
)

// ofMessageText is a function of the message whose value is a String, or
// Undefined if the message has none.
func ofMessageText(f func(m *nmessage) string) naiveFunc {
	return naiveFunc{0, 0, func(m *nmessage, _ []nv) nv {
		if s := f(m); s != "" {
			return nstr(s)
		}
		return undef
	}}
}

func (m *nmessage) property(name nv) nv {
	p := m.in.Properties
	texts := map[string]string{"content_type": p.ContentType, "response_topic": p.ResponseTopic,
		"correlation_data": base64.StdEncoding.EncodeToString(p.CorrelationData), "format_indicator": "UNSPECIFIED_BYTES"}
	if p.UTF8 {
		texts["format_indicator"] = "UTF8_DATA"
	}
	if s := texts[name.s]; name.kind == String && s != "" {
		return nstr(s)
	}
	return undef
}

func (m *nmessage) userProperties(a []nv) nv {
	out := narr(nil)
	for _, p := range m.in.Properties.User {
		switch {
		case len(a) == 0:
			out.arr = append(out.arr, nobj([]nmember{{p.Name, nstr(p.Value)}}))
		case a[0].kind == String && a[0].s == p.Name:
			out.arr = append(out.arr, nstr(p.Value))
		}
	}
	if out.arr == nil {
		return undef
	}
	return out
}

// pieces are the parts of a replacement: an escape, a group by number, a group
// by name, text.
var pieces = regexp.MustCompile(`(?s)\\(.)|\$(\d)|\$\{(\w+)\}|([^$\\]+)`)

// nreplace is regexp_replace for patterns of fewer than ten groups.
func nreplace(s []string) nv {
	re, err := regexp.Compile(s[1])
	if err != nil || pieces.ReplaceAllString(s[2], "") != "" {
		return undef
	}
	parts := pieces.FindAllStringSubmatch(s[2], -1)
	groups := make([]int, len(parts))
	for i, p := range parts {
		switch groups[i] = -1; {
		case p[2] != "":
			if groups[i] = int(p[2][0] - '0'); groups[i] > re.NumSubexp() {
				return undef
			}
		case p[3] != "":
			if groups[i] = re.SubexpIndex(p[3]); groups[i] < 0 {
				return undef
			}
		}
	}
	var out strings.Builder
	last := 0
	for _, at := range re.FindAllStringSubmatchIndex(s[0], -1) {
		out.WriteString(s[0][last:at[0]])
		last = at[1]
		for i, g := range groups {
			switch {
			case g < 0:
				out.WriteString(parts[i][1] + parts[i][4])
			case at[2*g] >= 0:
				out.WriteString(s[0][at[2*g]:at[2*g+1]])
			}
		}
	}
	return nstr(out.String() + s[0][last:])
}

// layouts are the patterns that the generator uses, for parse_time and, where
// they make sense there, time_to_epoch, as the standard library writes them.
var layouts = map[string]string{
	"yyyy-MM-dd'T'HH:mm:ssZZ": "2006-01-02T15:04:05-07:00", "yyyy-MM-dd HH:mm:ss.SSS": "2006-01-02 15:04:05.000",
	"EEEE, d MMMM yyyy": "Monday, 2 January 2006", "EEE dd.MM.yy hh:mm a": "Mon 02.01.06 03:04 PM", "yyyyDDD": "2006002", "h 'o''clock' a Z": "3 o'clock PM -0700",
	"uuuu-MM-dd HH:mm:ss.SSS": "2006-01-02 15:04:05.000", "uuuu-MM-dd'T'HH:mm:ssXXX": "2006-01-02T15:04:05Z07:00", "d MMMM uuuu": "2 January 2006",
}

func nparseTime(a []nv) nv {
	pattern, ok := a[0].text()
	layout := layouts[pattern]
	r, ok2 := a[1].num()
	if !ok || !ok2 || layout == "" && pattern != "" || !truncRat(r).Num().IsInt64() {
		return undef
	}
	loc := time.UTC
	if len(a) == 3 {
		id, ok := a[2].text()
		if !ok || id == "" {
			return undef
		}
		var err error
		if loc, err = time.LoadLocation(id); err != nil {
			return undef
		}
	}
	return nstr(time.UnixMilli(truncRat(r).Num().Int64()).In(loc).Format(layout))
}

func ntimeToEpoch(a []nv) nv {
	text, ok := a[0].text()
	pattern, ok2 := a[1].text()
	layout := layouts[pattern]
	if !ok || !ok2 || layout == "" {
		return undef
	}
	t, err := time.Parse(layout, text)
	if err != nil {
		return undef
	}
	return nint(int(t.UnixMilli()))
}

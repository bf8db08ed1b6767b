package sql

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// value is what an expression makes of a payload as JSON; empty for Undefined.
func value(t *testing.T, opts *Options, expr, payload string) string {
	t.Helper()
	st, err := CompileStatement("SELECT VALUE "+expr+" FROM 'a'", opts)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	out, _, err := st.Eval(context.Background(), &Input{Payload: []byte(payload), Topic: "a/b", Time: time.UnixMilli(1700000000123)})
	if err != nil {
		return "error: " + err.Error()
	}
	return string(out)
}

// quoted is s as a string of the language.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// both evaluates a call with a literal pattern, which is prepared, and with one
// that comes with the message.
func both(t *testing.T, format, pattern string) string {
	t.Helper()
	a := value(t, nil, fmt.Sprintf(format, quoted(pattern)), "{}")
	b := value(t, nil, fmt.Sprintf(format, "p"), `{"p":`+string(appendString(nil, pattern))+`}`)
	if a != b {
		t.Errorf("%s of %s: prepared %s, at run time %s", format, pattern, a, b)
	}
	return a
}

func TestTimeToEpoch(t *testing.T) {
	const day = "uuuu-MM-dd"
	for _, c := range []struct{ pattern, text, want string }{ // want as RFC 3339, or empty
		{day, "2021-02-03", "2021-02-03T00:00:00Z"},
		{day, "2021-02-3", ""}, {day, "2021-02-033", ""}, {day, "2021-2-03", ""}, {day, "21-02-03", ""}, {day, " 2021-02-03", ""}, {day, "2021-02-03 ", ""}, {day, "", ""},
		{day, "2021-00-03", ""}, {day, "2021-13-03", ""}, {day, "2021-12-03", "2021-12-03T00:00:00Z"}, {day, "2021-02-00", ""}, {day, "2021-02-32", ""},
		{day, "2021-02-31", "2021-02-28T00:00:00Z"}, {day, "2020-02-30", "2020-02-29T00:00:00Z"}, {day, "2021-04-31", "2021-04-30T00:00:00Z"},
		{day, "+12021-02-03", "12021-02-03"}, {day, "-0001-02-03", "-0001-02-03"}, {day, "0000-01-01", "0000-01-01T00:00:00Z"},
		{day, "12021-02-03", ""}, {day, "+2021-02-03", ""}, {day, "-12021-02-03", "-12021-02-03"}, {day, "-0000-02-03", ""}, {day, "+-2021-02-03", ""}, {"u-M-d", "-0-2-3", ""}, {"uuu-MM-dd", "12021-02-03", "12021-02-03"},
		{"uuu-MM-dd", "+2021-02-03", ""}, {"u-M-d", "2021-2-3", "2021-02-03T00:00:00Z"}, {"u-M-d", "-5-2-3", "-0005-02-03"},
		{"yyyy-MM-dd G", "2021-02-03 AD", "2021-02-03T00:00:00Z"}, {"yyyy-MM-dd G", "0001-02-03 BC", "0000-02-03T00:00:00Z"},
		{"yyyy-MM-dd GGGG", "0001-02-03 Before Christ", "0000-02-03T00:00:00Z"}, {"yyyy-MM-dd GGGG", "0001-02-03 Anno Domini", "0001-02-03T00:00:00Z"}, {"yyyy-MM-dd G", "0001-02-03 XX", ""},
		{"uuuu yyyy MM dd", "2021 2021 02 03", "2021-02-03T00:00:00Z"}, {"uuuu yyyy MM dd", "2021 2022 02 03", ""},
		{"uu-MM-dd", "21-02-03", "2021-02-03T00:00:00Z"}, {"yy-MM-dd", "99-02-03", "2099-02-03T00:00:00Z"}, {"yy-MM-dd", "2021-02-03", ""},
		{"uuuuMMdd", "20210203", "2021-02-03T00:00:00Z"}, {"uMMdd", "120210203", "12021-02-03"}, {"uMMddHHmmss", "20210203040506", "2021-02-03T04:05:06Z"}, {"uuuuMMdd", "2021020", ""},
		{"uuuuDDD", "2021032", "2021-02-01T00:00:00Z"}, {"uuuu-D", "2021-1", "2021-01-01T00:00:00Z"}, {"uuuu-D", "2021-365", "2021-12-31T00:00:00Z"}, {"uuuu-D", "2021-366", ""},
		{"uuuu-D", "2020-366", "2020-12-31T00:00:00Z"}, {"uuuu-D", "2020-367", ""}, {"uuuu-D", "2020-0", ""}, {"uuuu-DD", "2020-366", "2020-12-31T00:00:00Z"}, {"uuuu-DD", "2020-6", ""},
		{"uuuu-DD", "2020-1234", ""}, {"DDuuuu", "3662020", "2020-12-31T00:00:00Z"},
		{"d MMM uuuu", "3 Feb 2021", "2021-02-03T00:00:00Z"}, {"d MMMM uuuu", "3 February 2021", "2021-02-03T00:00:00Z"}, {"d LLLL uuuu", "3 December 2021", "2021-12-03T00:00:00Z"},
		{"d MMM uuuu", "3 feb 2021", ""}, {"d MMM uuuu", "3 February 2021", ""}, {"d L uuuu", "3 2 2021", "2021-02-03T00:00:00Z"}, {"d MMM uuuu", "3 Jan 2021", "2021-01-03T00:00:00Z"},
		{"E uuuu-MM-dd", "Wed 2021-02-03", "2021-02-03T00:00:00Z"}, {"E uuuu-MM-dd", "Thu 2021-02-03", ""}, {"EEEE uuuu-MM-dd", "Sunday 2021-02-07", "2021-02-07T00:00:00Z"},
		{"EEE uuuu-MM-dd", "Mon 2021-02-08", "2021-02-08T00:00:00Z"}, {"eee uuuu-MM-dd", "Sat 2021-02-06", "2021-02-06T00:00:00Z"}, {"cccc uuuu-MM-dd", "Friday 2021-02-05", "2021-02-05T00:00:00Z"},
		{"YYYY-'W'ww-e", "2021-W06-4", "2021-02-03T00:00:00Z"}, {"YYYY-'W'w-e", "2021-W1-1", "2020-12-27T00:00:00Z"}, {"YYYY-'W'w-E", "2021-W6-Wed", "2021-02-03T00:00:00Z"},
		{"YYYY-'W'w-E", "2021-W6-Sun", "2021-01-31T00:00:00Z"}, {"YYYY-'W'w-EEEE", "2021-W6-Saturday", "2021-02-06T00:00:00Z"}, {"YYYY-'W'ww", "2021-W06", ""}, {"YYYY-'W'ww-e", "2021-W54-1", ""},
		{"YYYY-'W'ww-e", "2021-W06-8", ""}, {"YYYY-'W'ww-e", "2021-W06-0", ""}, {"YYYY-'W'ww-c", "2021-W53-7", "2022-01-01T00:00:00Z"}, {"YYYY-'W'ww-e", "2022-W01-7", "2022-01-01T00:00:00Z"},
		{"uuuu-MM-dd Q", "2021-02-03 1", "2021-02-03T00:00:00Z"}, {"uuuu-MM-dd QQQ", "2021-02-03 Q1", "2021-02-03T00:00:00Z"}, {"uuuu-MM-dd q", "2021-02-03 5", ""}, {"uuuu-MM-dd qqq", "2021-02-03 Q5", ""}, {"uuuu-MM-dd Q", "2021-02-03 4", "2021-02-03T00:00:00Z"},
		{day + " W", "2021-02-03 1", "2021-02-03T00:00:00Z"}, {day + " W", "2021-02-03 6", ""},
		{day + " HH:mm:ss", "2021-02-03 04:05:06", "2021-02-03T04:05:06Z"}, {day + " HH:mm", "2021-02-03 23:59", "2021-02-03T23:59:00Z"}, {day + " HH:mm", "2021-02-03 00:60", ""}, {day + " HH:mm:ss", "2021-02-03 00:00:60", ""},
		{day + " HH", "2021-02-03 24", "2021-02-04T00:00:00Z"}, {day + " HH:mm", "2021-02-03 24:00", "2021-02-04T00:00:00Z"}, {day + " HH:mm", "2021-02-03 24:01", ""}, {day + " HH:mm:ss", "2021-02-03 24:00:01", ""},
		{day + " HH:mm:ss.S", "2021-02-03 24:00:00.1", ""}, {day + " HH", "2021-02-03 25", ""}, {day + " H", "2021-02-03 7", "2021-02-03T07:00:00Z"}, {day + " mm", "2021-02-03 07", ""}, {day + " HH ss", "2021-02-03 01 07", ""}, {day + " ss", "2021-02-03 07", ""}, {day + " S", "2021-02-03 7", ""},
		{day + " kk:mm", "2021-02-03 24:30", "2021-02-03T00:30:00Z"}, {day + " k", "2021-02-03 1", "2021-02-03T01:00:00Z"}, {day + " k", "2021-02-03 0", ""}, {day + " k", "2021-02-03 25", ""}, {day + " k", "2021-02-03 23", "2021-02-03T23:00:00Z"},
		{day + " hh a", "2021-02-03 12 AM", "2021-02-03T00:00:00Z"}, {day + " hh a", "2021-02-03 12 PM", "2021-02-03T12:00:00Z"}, {day + " h a", "2021-02-03 1 PM", "2021-02-03T13:00:00Z"}, {day + " h a", "2021-02-03 0 PM", ""}, {day + " h a", "2021-02-03 13 PM", ""},
		{day + " h", "2021-02-03 1", ""}, {day + " h a", "2021-02-03 1 XM", ""}, {day + " K a", "2021-02-03 0 PM", "2021-02-03T12:00:00Z"}, {day + " K a", "2021-02-03 11 AM", "2021-02-03T11:00:00Z"}, {day + " K a", "2021-02-03 12 AM", ""},
		{day + " HH a", "2021-02-03 13 PM", "2021-02-03T13:00:00Z"}, {day + " HH a", "2021-02-03 13 AM", ""}, {day + " HH a", "2021-02-03 11 AM", "2021-02-03T11:00:00Z"}, {day + " HH a", "2021-02-03 24 PM", "2021-02-04T00:00:00Z"}, {day + " HH h a", "2021-02-03 13 02 PM", "2021-02-03T13:00:00Z"}, {day + " HH h a", "2021-02-03 13 1 PM", "2021-02-03T13:00:00Z"},
		{day + " HH HH", "2021-02-03 13 13", "2021-02-03T13:00:00Z"}, {day + " HH HH", "2021-02-03 13 14", ""}, {day + " a", "2021-02-03 PM", "2021-02-03T00:00:00Z"},
		{day + " HH:mm:ss.SSS", "2021-02-03 04:05:06.789", "2021-02-03T04:05:06.789Z"}, {day + " HH:mm:ss.S", "2021-02-03 04:05:06.7", "2021-02-03T04:05:06.7Z"}, {day + " HH:mm:ss.SSSSSSSSS", "2021-02-03 04:05:06.123456789", "2021-02-03T04:05:06.123Z"},
		{day + " HH:mm:ss.SSS", "2021-02-03 04:05:06.78", ""}, {day + " HH:mm:ss.SSS", "2021-02-03 04:05:06.7x9", ""}, {day + " HHSS", "2021-02-03 0455", "2021-02-03T04:00:00.55Z"},
		{day + " HH n", "2021-02-03 01 5000000", "2021-02-03T01:00:00.005Z"}, {day + " A", "2021-02-03 3600001", "2021-02-03T01:00:00.001Z"}, {day + " A", "2021-02-03 86400000", ""}, {day + " A", "2021-02-03 0", "2021-02-03T00:00:00Z"}, {day + " N", "2021-02-03 0", "2021-02-03T00:00:00Z"}, {day + " HH n", "2021-02-03 01 0", "2021-02-03T01:00:00Z"}, {day + " HH n", "2021-02-03 01 999999999", "2021-02-03T01:00:00.999Z"}, {day + " W", "2021-02-03 0", "2021-02-03T00:00:00Z"}, {day + " W", "2021-02-03 5", "2021-02-03T00:00:00Z"}, {day + " Q", "2021-02-03 0", ""}, {day + " N", "2021-02-03 3600001000000", "2021-02-03T01:00:00.001Z"}, {day + " HH n", "2021-02-03 01 1000000000", ""}, {day + " N", "2021-02-03 86399999999999", "2021-02-03T23:59:59.999Z"}, {day + " N", "2021-02-03 86400000000000", ""}, {day + " N", "2021-02-03 9999999999999999999", ""}, {day + " A", "2021-02-03 86399999", "2021-02-03T23:59:59.999Z"},
		{"uuuu-MM-dd'T'HH", "2021-02-03T04", "2021-02-03T04:00:00Z"}, {"uuuu-MM-dd''HH", "2021-02-03'04", "2021-02-03T04:00:00Z"}, {"uuuu-MM-dd'o''c'HH", "2021-02-03o'c04", "2021-02-03T04:00:00Z"}, {"uuuu-MM-dd'T", "2021-02-03T", ""}, {"uuuu-MM-ddT", "2021-02-03T", ""}, {"uuuu-MM-dd'T'HH", "2021-02-03x04", ""},
		{day + "[ HH[:mm]]", "2021-02-03", "2021-02-03T00:00:00Z"}, {day + "[ HH[:mm]]", "2021-02-03 04", "2021-02-03T04:00:00Z"}, {day + "[ HH[:mm]]", "2021-02-03 04:05", "2021-02-03T04:05:00Z"}, {day + "[ HH:mm]['T'HH]", "2021-02-03T04", "2021-02-03T04:00:00Z"}, {day + "[ HH", "2021-02-03 04", "2021-02-03T04:00:00Z"},
		{day + "[ HH:mm]", "2021-02-03 04", ""}, {day + "]", "2021-02-03", ""}, {day + "[][", "2021-02-03", "2021-02-03T00:00:00Z"}, {day + "][", "2021-02-03", ""}, {day + "#", "2021-02-03#", ""}, {day + "{", "2021-02-03{", ""}, {day + "[ HH][ k]", "2021-02-03 24", "2021-02-04T00:00:00Z"},
		{day + " ppH", "2021-02-03   7", "2021-02-03T07:00:00Z"}, {day + "pH", "2021-02-037", "2021-02-03T07:00:00Z"},
		{day + " HH X", "2021-02-03 04 Z", "2021-02-03T04:00:00Z"}, {day + " HH X", "2021-02-03 04 +01", "2021-02-03T03:00:00Z"}, {day + " HH XX", "2021-02-03 04 -0130", "2021-02-03T05:30:00Z"}, {day + " HH XXX", "2021-02-03 04 +01:30", "2021-02-03T02:30:00Z"}, {day + " HH x", "2021-02-03 04 Z", ""}, {day + " HH x", "2021-02-03 04 +02", "2021-02-03T02:00:00Z"},
		{day + " HH xxx", "2021-02-03 04 +02:00", "2021-02-03T02:00:00Z"}, {day + " HH Z", "2021-02-03 04 +0200", "2021-02-03T02:00:00Z"}, {day + " HH Z", "2021-02-03 04 Z", ""}, {day + " HH ZZZZZ", "2021-02-03 04 Z", "2021-02-03T04:00:00Z"}, {day + " HH ZZZZZ", "2021-02-03 04 -02:00", "2021-02-03T06:00:00Z"}, {day + " HH ZZZZ", "2021-02-03 04 GMT+02:00", "2021-02-03T02:00:00Z"}, {day + " HH ZZZZ", "2021-02-03 04 GMT", "2021-02-03T04:00:00Z"}, {day + " HH ZZZZ", "2021-02-03 04 +02:00", ""},
		{day + " HH X", "2021-02-03 04 +19", ""}, {day + " HH X", "2021-02-03 04 +18", "2021-02-02T10:00:00Z"}, {day + " HH XXX", "2021-02-03 04 +18:01", ""}, {day + " HH XXX", "2021-02-03 04 +01:60", ""}, {day + " HH XXXXX", "2021-02-03 04 +01:02:03", "2021-02-03T02:57:57Z"}, {day + " HH XXXX", "2021-02-03 04 -010203", "2021-02-03T05:02:03Z"}, {day + " HH X", "2021-02-03 04 +", ""}, {day + " HH X", "2021-02-03 04 1", ""},
		{day + " HH O", "2021-02-03 04 GMT+2", "2021-02-03T02:00:00Z"}, {day + " HH OOOO", "2021-02-03 04 GMT-02:30", "2021-02-03T06:30:00Z"}, {day + " HH O", "2021-02-03 04 GMT", "2021-02-03T04:00:00Z"}, {day + " HH O", "2021-02-03 04 +2", ""}, {day + " HH OO", "2021-02-03 04 GMT+2", ""},
		{day + " HH VV", "2021-02-03 04 Europe/Paris", "2021-02-03T03:00:00Z"}, {day + " HH VV", "2021-07-03 04 Europe/Paris", "2021-07-03T02:00:00Z"}, {day + " HH VV", "2021-02-03 04 UTC+01:00", "2021-02-03T03:00:00Z"}, {day + " HH VV", "2021-02-03 04 UTC", "2021-02-03T04:00:00Z"}, {day + " HH VV", "2021-02-03 04 GMT-1", "2021-02-03T05:00:00Z"}, {day + " HH VV", "2021-02-03 04 UT+1", "2021-02-03T03:00:00Z"}, {day + " HH VV", "2021-02-03 04 Z", "2021-02-03T04:00:00Z"}, {day + " HH VV", "2021-02-03 04 +05:30", "2021-02-02T22:30:00Z"},
		{day + " HH VV", "2021-02-03 04 Mars/Base", ""}, {day + " HH VV", "2021-02-03 04 Local", ""}, {day + " HH VV", "2021-02-03 04 ", ""}, {day + " HH V", "2021-02-03 04 UTC", ""}, {day + " HH VVV", "2021-02-03 04 UTC", ""}, {day + " HH VV.", "2021-02-03 04 UTC.", "2021-02-03T04:00:00Z"}, {"VV HH " + day, "Asia/Tokyo 04 2021-02-03", "2021-02-02T19:00:00Z"},
		{day + " HH z", "2021-02-03 04 PST", "2021-02-03T12:00:00Z"}, {day + " HH z", "2021-07-03 04 Pacific Daylight Time", "2021-07-03T11:00:00Z"}, {day + " HH z", "2021-02-03 04 Asia/Tokyo", "2021-02-02T19:00:00Z"}, {day + " HH z", "2021-02-03 04 GMT", "2021-02-03T04:00:00Z"}, {day + " HH z", "2021-02-03 04 GMT+1", "2021-02-03T03:00:00Z"}, {"z " + day, "JST 2021-02-03", "2021-02-02T15:00:00Z"}, {day + " HH z", "2021-02-03 04 XYZ", ""}, {day + " HH VV", "2021-02-03 04 PST", ""},
		{"HH:mm", "04:05", ""}, {"uuuu-MM", "2021-02", ""}, {"uuuu", "2021", ""}, {"MM-dd", "02-03", ""}, {day + " B", "2021-02-03 x", ""}, {"uuuuuuuuuuuuuuuuuuuu-MM-dd", "2021-02-03", ""}, {"", "", ""},
		{"u-MM-dd", "999999999999-02-03", ""}, {"uuuu/MM/dd", "2021/02/03", "2021-02-03T00:00:00Z"}, {"uuuuMM", "202102", ""}, {"uuuu@MM`dd", "2021@02`03", "2021-02-03T00:00:00Z"}, {day + "[ mm'x'][ HH]", "2021-02-03 04", "2021-02-03T04:00:00Z"}, {day + "[ mm'x'[ HH]]", "2021-02-03 04", ""}, {"uu-MM-dd", "121-02-03", ""}, {"uu-MM-dd", "-21-02-03", ""}, {"yy-MM-dd", "-21-02-03", ""}, {"YY-'W'ww-e", "21-W06-4", "2021-02-03T00:00:00Z"}, {"YY-'W'ww-e", "121-W06-4", ""},
		{day + strings.Repeat("-", 246), "2021-02-03" + strings.Repeat("-", 246), "2021-02-03T00:00:00Z"}, {day + strings.Repeat("-", 247), "2021-02-03" + strings.Repeat("-", 247), ""}, {day + "''H", "2021-02-03'4", "2021-02-03T04:00:00Z"}, {day + "''", "2021-02-03", ""}, {"uuMMdd", "210203", "2021-02-03T00:00:00Z"}, {"yyMMdd", "210203", "2021-02-03T00:00:00Z"}, {day + " HH:mm:ss", "2021-02-03 00:00:00", "2021-02-03T00:00:00Z"},
		{day + " QQQ Q", "2021-02-03 Q1 1", "2021-02-03T00:00:00Z"}, {day + " QQQ Q", "2021-02-03 Q1 2", ""}, {day + " HH nn", "2021-02-03 01 5000000", "2021-02-03T01:00:00.005Z"}, {day + "[[ HH]]", "2021-02-03 04", "2021-02-03T04:00:00Z"},
	} {
		want := ""
		for _, layout := range []string{time.RFC3339Nano} {
			if ts, err := time.Parse(layout, c.want); err == nil {
				want = fmt.Sprint(ts.UnixMilli())
			}
		}
		var y, m, d int
		if n, _ := fmt.Sscanf(c.want, "%d-%d-%d", &y, &m, &d); n == 3 && want == "" {
			want = fmt.Sprint(time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).UnixMilli())
		}
		if got := both(t, "time_to_epoch("+quoted(c.text)+", %s)", c.pattern); got != want {
			t.Errorf("%q by %q: got %s, want %s (%s)", c.text, c.pattern, got, want, c.want)
		}
	}
}

func TestParseTime(t *testing.T) {
	at := func(s string) int64 {
		ts, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return ts.UnixMilli()
	}
	afternoon, midnight, noon := at("2021-02-03T16:05:06.789Z"), at("2021-02-07T00:00:00Z"), at("2020-12-31T12:30:00Z")
	bc := time.Date(-4, 3, 5, 0, 0, 0, 0, time.UTC).UnixMilli() // 5 BC
	for _, c := range []struct {
		ms                  int64
		pattern, zone, want string
	}{
		{afternoon, "yyyy-MM-dd HH:mm:ss.SSS", "", "2021-02-03 16:05:06.789"}, {afternoon, "y M d H m s S", "", "2021 2 3 16 5 6 7"}, {afternoon, "yy YY xx", "", "21 21 21"},
		{afternoon, "yyyyyy MM ddd HHH", "", "002021 02 003 016"}, {afternoon, "SS SSSSSSSSSSSS", "", "78 789000000000"}, {afternoon, "C CC CCC", "", "20 20 020"},
		{afternoon, "G GGGG", "", "AD AD"}, {bc, "yyyy YYYY G yy YY C", "", "-0004 0005 BC 04 05 0"}, {time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), "y Y G", "", "0 1 BC"}, {time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(), "y Y G", "", "1 1 AD"},
		{afternoon, "x w ww e E EE EEE EEEE EEEEE", "", "2021 5 05 3 Wed Wed Wed Wednesday Wednesday"}, {midnight, "e E w", "", "7 Sun 5"}, {noon, "xxxx-'W'ww-e D", "", "2020-W53-4 366"}, {at("2021-01-03T00:00:00Z"), "xxxx-ww yyyy", "", "2020-53 2021"},
		{afternoon, "D DDD", "", "34 034"}, {afternoon, "@ `yyyy~|^_\\ {}[]/", "", "@ `2021~|^_\\ {}[]/"}, {afternoon, "y''M''''d", "", "2021'2''3"}, {afternoon, "M MM MMM MMMM", "", "2 02 Feb February"},
		{afternoon, "a K KK h hh H k", "", "PM 4 04 4 04 16 16"}, {midnight, "a K h H k kk", "", "AM 0 12 0 24 24"}, {noon, "a K h H k", "", "PM 0 12 12 12"}, {at("2021-02-03T23:00:00Z"), "K h k", "", "11 11 23"}, {at("2021-02-03T11:00:00Z"), "a K h k", "", "AM 11 11 11"}, {at("2021-02-03T01:00:00Z"), "K h k", "", "1 1 1"},
		{afternoon, "z zzzz Z ZZ ZZZ", "", "UTC Coordinated Universal Time +0000 +00:00 UTC"}, {afternoon, "z zzz zzzz Z ZZ ZZZ HH", "Europe/Paris", "CET CET Central European Standard Time +0100 +01:00 Europe/Paris 17"},
		{afternoon, "z Z ZZ ZZZZ HH:mm", "-03:30", "-03:30 -0330 -03:30 -03:30 12:35"}, {afternoon, "HH z", "UTC+2", "18 +02:00"}, {afternoon, "zzzz", "America/Belize", "Central Standard Time"}, {afternoon, "HH", "Asia/Kolkata", "21"}, {afternoon, "zzzz z", "America/Sao_Paulo", "-03:00 -03:00"},
		{afternoon, "HH", "Mars/Base", ""}, {afternoon, "HH", "Local", ""}, {afternoon, "Q", "", ""}, {afternoon, "u", "", ""}, {afternoon, "'T", "", ""}, {afternoon, "yyyy'T''s'HH''", "", "2021T's16'"}, {afternoon, "[yyyy]{}#", "", "[2021]{}#"}, {afternoon, "é yyyy", "", "é 2021"}, {afternoon, strings.Repeat("y", 20), "", ""}, {afternoon, strings.Repeat("-", 257), "", ""}, {afternoon, strings.Repeat("-", 256), "", strings.Repeat("-", 256)},
		{-1, "yyyy-MM-dd HH:mm:ss.SSS", "", "1969-12-31 23:59:59.999"},
	} {
		zone := ""
		if c.zone != "" {
			zone = ", " + quoted(c.zone)
		}
		want := ""
		if c.want != "" {
			want = string(appendString(nil, c.want))
		}
		if got := both(t, "parse_time(%s, "+fmt.Sprint(c.ms)+zone+")", c.pattern); got != want {
			t.Errorf("%d by %q in %q: got %s, want %s", c.ms, c.pattern, c.zone, got, want)
		}
	}
	for _, c := range []struct{ expr, want string }{
		{"parse_time('yyyy', '0')", `"1970"`}, {"parse_time('SSS', 1.9)", `"001"`}, {"parse_time('yyyy', 'x')", ""}, {"parse_time('yyyy', NULL)", ""}, {"parse_time('yyyy', 1E30)", ""},
		{"parse_time(NULL, 0)", ""}, {"parse_time('yyyy', 0, NULL)", ""}, {"parse_time(5, 0)", `"5"`}, {"parse_time('yyyy')", ""}, {"parse_time('y', 0, 'UTC', 1)", ""},
		{"time_to_epoch(2021, 'uuuu')", ""}, {"time_to_epoch(20210203, 'uuuuMMdd')", "1612310400000"}, {"time_to_epoch(NULL, 'u')", ""}, {"time_to_epoch('x', NULL)", ""}, {"time_to_epoch('x')", ""},
		{"time_to_epoch('2021', '" + strings.Repeat("[", 300) + "')", ""}, {"parse_time('yyyy', x.t)", ""},
	} {
		if got := value(t, nil, c.expr, `{}`); got != c.want {
			t.Errorf("%s: got %s, want %s", c.expr, got, c.want)
		}
	}
}

// TestZonesForgotten: a program remembers a bounded number of zones.
func TestZonesForgotten(t *testing.T) {
	var c zoneCache
	for i := range 3 * maxZones {
		if loc := c.find(fmt.Sprintf("UTC+%d:%02d", i/60, i%60)); loc == nil {
			t.Fatal(i)
		}
		if c.find("none"+fmt.Sprint(i)) != nil || len(c.zones) > maxZones {
			t.Fatalf("%d zones", len(c.zones))
		}
	}
}

package cbor

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// Items of RFC 8949 appendix A, and what their JSON is.
func TestToJSON(t *testing.T) {
	for in, want := range map[string]string{
		"00": "0", "17": "23", "1818": "24", "1903e8": "1000", "1bffffffffffffffff": "18446744073709551615",
		"20": "-1", "3903e7": "-1000", "3bffffffffffffffff": "-18446744073709551616",
		"f90000": "0", "f93c00": "1", "f93e00": "1.5", "f97bff": "65504", "f90001": "5.960464477539063e-8", "f9c400": "-4",
		"fa47c35000": "100000", "fb3ff199999999999a": "1.1", "fb7e37e43c8800759c": "1e+300",
		"f4": "false", "f5": "true", "f6": "null", "f7": "null",
		"c074323031332d30332d32315432303a30343a30305a": `"2013-03-21T20:04:00Z"`,
		"4401020304": `"AQIDBA=="`, "60": `""`, "6449455446": `"IETF"`, "62225c": `"\"\\"`, "63e6b0b4": `"水"`,
		"80": "[]", "83010203": "[1,2,3]", "8301820203820405": "[1,[2,3],[4,5]]",
		"a0": "{}", "a201020304": `{"1":2,"3":4}`, "a26161016162820203": `{"a":1,"b":[2,3]}`,
		"5f42010243030405ff": `"AQIDBAU="`, "7f657374726561646d696e67ff": `"streaming"`,
		"9fff": "[]", "9f018202039f0405ffff": "[1,[2,3],[4,5]]", "bf61610161629f0203ffff": `{"a":1,"b":[2,3]}`,
	} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ToJSON(b); err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", in, got, err, want)
		}
	}
}

func TestToJSONErrors(t *testing.T) {
	for in, want := range map[string]struct {
		offset int
		reason string
	}{
		"":                               {0, "ends early"},
		"18":                             {0, "ends early"},
		"1c":                             {0, "not defined"},
		"1f":                             {0, "not defined"},
		"0000":                           {1, "more after"},
		"6261":                           {1, "ends early"},
		"62c328":                         {0, "UTF-8"},
		"8201":                           {2, "ends early"},
		"a201020102":                     {3, "twice"},
		"a1f501":                         {1, "key"},
		"7f4161ff":                       {2, "another kind"},
		"f97e00":                         {0, "NaN"},
		"fa7f800000":                     {0, "Inf"},
		"f0":                             {0, "simple value"},
		"ff":                             {0, "simple value"},
		"5bffffffffffffffff00":           {9, "ends early"},
		"9bffffffffffffffff":             {9, "ends early"},
		strings.Repeat("81", 100) + "00": {65, "deeper"},
	} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		out, err := ToJSON(b)
		var se *SyntaxError
		if !errors.As(err, &se) || se.Offset != want.offset || !strings.Contains(se.Reason, want.reason) {
			t.Errorf("%s: got %s, %v, want byte %d: %s", in, out, err, want.offset, want.reason)
		}
	}
}

func TestFromJSON(t *testing.T) {
	for in, want := range map[string]string{
		"0": "00", "-1": "20", "1000": "1903e8", "100000": "1a000186a0", "18446744073709551615": "1bffffffffffffffff",
		"-18446744073709551616": "3bffffffffffffffff", "1.1": "fb3ff199999999999a", "18446744073709551616": "fb43f0000000000000",
		`"水"`: "63e6b0b4", "[1,[2,3]]": "8201820203", `{"b":1,"a":[]}`: "a2616201616180", "null": "f6", "true": "f5", "false": "f4",
	} {
		got, err := FromJSON([]byte(in))
		if err != nil || hex.EncodeToString(got) != want {
			t.Errorf("%s: got %x, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "{", "[1", "1 2", `{"a"}`, "1e999", "]"} {
		if got, err := FromJSON([]byte(in)); err == nil {
			t.Errorf("%q: got %x", in, got)
		}
	}
}

// What is read from CBOR survives the way back.
func FuzzRoundTrip(f *testing.F) {
	for _, s := range []string{"00", "3bffffffffffffffff", "bf61610161629f0203ffff", "c074323031332d30332d32315432303a30343a30305a", "fb3ff199999999999a"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, item []byte) {
		first, err := ToJSON(item)
		if err != nil {
			return
		}
		if !json.Valid(first) {
			t.Fatalf("%x: not JSON: %s", item, first)
		}
		back, err := FromJSON(first)
		if err != nil {
			t.Fatalf("%x: %s: %v", item, first, err)
		}
		second, err := ToJSON(back)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(first, second) {
			return
		}
		// A binary64 may be written as an integer.
		var a, b any
		if json.Unmarshal(first, &a) != nil || json.Unmarshal(second, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("%x: %s became %s", item, first, second)
		}
	})
}

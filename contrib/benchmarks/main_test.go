package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

// TestSameRule: all contenders make the same of a message, or the comparison
// is none.
func TestSameRule(t *testing.T) {
	all, err := contenders()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		for _, size := range []int{170, 300, 4096} {
			out, err := c.do(payload("21.5", size))
			if err != nil || out != nil {
				t.Errorf("%s: a cold message gives %s, %v", c.name, out, err)
			}
			out, err = c.do(payload("31.5", size))
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			var got struct {
				DeviceID    string
				Temperature float64
				TS          float64
			}
			if err := json.Unmarshal(out, &got); err != nil {
				t.Errorf("%s gives %s: %v", c.name, out, err)
			}
			if got.DeviceID != "sensor-0042" || got.Temperature != 31.5 || math.Abs(got.TS-float64(time.Now().UnixMilli())) > 60_000 {
				t.Errorf("%s gives %s", c.name, out)
			}
		}
	}
}

func TestPayloadSize(t *testing.T) {
	for _, size := range []int{180, 300, 1 << 10, 64 << 10} {
		for _, p := range [][]byte{payload("1.5", size), fields(4, size)} {
			if len(p) != size || !json.Valid(p) {
				t.Errorf("payload of %d bytes has %d: %.80s", size, len(p), p)
			}
		}
	}
}

func TestDraw(t *testing.T) {
	text := string(draw([]panel{{"a", "b", []series{{"s", "#123456", []point{{1, 10}, {100, 1e6}}}}}}))
	if err := wellFormed(text); err != nil {
		t.Errorf("%v in %s", err, text)
	}
}

// wellFormed reads text as XML to its end.
func wellFormed(text string) error {
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func BenchmarkEveryday(b *testing.B) {
	all, err := contenders()
	if err != nil {
		b.Fatal(err)
	}
	for name, p := range map[string][]byte{"match=no": payload("21.5", 300), "match=yes": payload("31.5", 300)} {
		for _, c := range all {
			b.Run(name+"/"+c.name, func(b *testing.B) {
				b.SetBytes(int64(len(p)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.do(p); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

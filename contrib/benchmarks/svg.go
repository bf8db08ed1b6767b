package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strings"
)

// A panel is one diagram, both axes logarithmic.
type panel struct {
	title, x string
	series   []series
}

type series struct {
	name, colour string
	points       []point
}

type point struct{ x, y float64 }

const (
	panelWidth, panelHeight = 300, 250
	marginLeft, marginTop   = 56, 52
	legendLine              = 15
)

// draw is the panels side by side, as an SVG of plain shapes and text.
func draw(panels []panel) []byte {
	most, low, high := 0, math.Inf(1), 0.0
	for _, p := range panels {
		most = max(most, len(p.series))
		for _, s := range p.series {
			for _, q := range s.points {
				low, high = min(low, q.y), max(high, q.y)
			}
		}
	}
	low, high = math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	width := len(panels)*(panelWidth+marginLeft+24) + 12
	height := marginTop + panelHeight + 48 + most*legendLine + 8
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="12" y="20" font-size="14" fill="#111111">Rules: messages per second of CPU time</text>`+"\n")
	for i, p := range panels {
		p.draw(&b, marginLeft+i*(panelWidth+marginLeft+24), marginTop, low, high)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// draw puts the panel's corner at left, top; low and high are the decades that
// the vertical axis spans.
func (p *panel) draw(b *bytes.Buffer, left, top int, low, high float64) {
	first, last := math.Inf(1), 0.0
	for _, s := range p.series {
		for _, q := range s.points {
			first, last = min(first, q.x), max(last, q.x)
		}
	}
	atX := func(x float64) float64 {
		if last == first {
			return float64(left)
		}
		return float64(left) + panelWidth*math.Log(x/first)/math.Log(last/first)
	}
	atY := func(y float64) float64 { return float64(top) + panelHeight*(1-(math.Log10(y)-low)/(high-low)) }

	fmt.Fprintf(b, `<text x="%d" y="%d" font-size="12" fill="#111111">%s</text>`+"\n", left, top-10, html.EscapeString(p.title))
	for decade := low; decade <= high; decade++ {
		y := atY(math.Pow(10, decade))
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#dddddd"/>`+"\n", left, y, left+panelWidth, y)
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end" fill="#555555">%s</text>`+"\n", left-6, y+4, short(math.Pow(10, decade)))
	}
	if len(p.series) > 0 {
		for _, q := range p.series[0].points {
			fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#555555">%s</text>`+"\n", atX(q.x), top+panelHeight+15, short(q.x))
		}
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle" fill="#555555">%s</text>`+"\n", left+panelWidth/2, top+panelHeight+31, html.EscapeString(p.x))
	for i, s := range p.series {
		var line []string
		for _, q := range s.points {
			line = append(line, fmt.Sprintf("%.1f,%.1f", atX(q.x), atY(q.y)))
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="2.5" fill="%s"><title>%s: %s at %s</title></circle>`+"\n",
				atX(q.x), atY(q.y), s.colour, html.EscapeString(s.name), short(q.y), short(q.x))
		}
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="1.8" points="%s"/>`+"\n", s.colour, strings.Join(line, " "))
		y := top + panelHeight + 50 + i*legendLine
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="10" height="10" fill="%s"/>`+"\n", left, y-9, s.colour)
		fmt.Fprintf(b, `<text x="%d" y="%d" fill="#333333">%s</text>`+"\n", left+16, y, html.EscapeString(s.name))
	}
}

// short writes 1500 as 1.5k.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.3gk", v/1e3)
	}
	return fmt.Sprintf("%.3g", v)
}

package topic

import "strings"

// Overlap reports whether some topic name may match both filters. Both are taken as valid. It
// says yes of `a/#` and `a` as the standard has it and no of `#` and what begins with '$'.
func Overlap(a, b string) bool {
	if a == "" || b == "" || a[0] == '$' && wild(b) || b[0] == '$' && wild(a) {
		return false // [MQTT-4.7.2-1]
	}
	for {
		la, ra, moreA := strings.Cut(a, "/")
		lb, rb, moreB := strings.Cut(b, "/")
		switch {
		case la == "#" || lb == "#":
			return true
		case la != lb && la != "+" && lb != "+":
			return false
		case !moreA && !moreB:
			return true
		case !moreA:
			return rb == "#"
		case !moreB:
			return ra == "#"
		}
		a, b = ra, rb
	}
}

func wild(filter string) bool { return filter[0] == '+' || filter[0] == '#' }

package defender

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A kind says how a metric is compared.
type kind uint8

const (
	unknownMetric kind = iota
	countMetric        // whole numbers by order
	cidrMetric         // addresses
	portMetric
	numberMetric
	numbersMetric
	stringsMetric
)

// metrics are those that are known without being defined. Those that devices
// report are in the second part.
var metrics = map[string]struct {
	kind   kind
	cloud  bool
	topics bool // may have a dimension
	sum    bool // a sum over the duration
}{
	"aws:message-byte-size":          {countMetric, true, true, false},
	"aws:num-messages-sent":          {countMetric, true, true, true},
	"aws:num-messages-received":      {countMetric, true, true, true},
	"aws:num-authorization-failures": {countMetric, true, true, true},
	"aws:num-connection-attempts":    {countMetric, true, false, true},
	"aws:num-disconnects":            {countMetric, true, false, true},
	"aws:disconnect-duration":        {countMetric, true, false, false},
	"aws:source-ip-address":          {cidrMetric, true, false, false},

	"aws:all-bytes-out":                   {countMetric, false, false, true},
	"aws:all-bytes-in":                    {countMetric, false, false, true},
	"aws:all-packets-out":                 {countMetric, false, false, true},
	"aws:all-packets-in":                  {countMetric, false, false, true},
	"aws:num-listening-tcp-ports":         {countMetric, false, false, false},
	"aws:num-listening-udp-ports":         {countMetric, false, false, false},
	"aws:num-established-tcp-connections": {countMetric, false, false, false},
	"aws:destination-ip-addresses":        {cidrMetric, false, false, false},
	"aws:listening-tcp-ports":             {portMetric, false, false, false},
	"aws:listening-udp-ports":             {portMetric, false, false, false},
}

var customKinds = map[string]kind{"number": numberMetric, "number-list": numbersMetric, "string-list": stringsMetric, "ip-address-list": cidrMetric}

// operators are those that a kind of metric is compared by.
func (k kind) operators() []string {
	switch k {
	case cidrMetric:
		return []string{"in-cidr-set", "not-in-cidr-set"}
	case portMetric:
		return []string{"in-port-set", "not-in-port-set"}
	case numbersMetric, stringsMetric:
		return []string{"in-set", "not-in-set"}
	}
	return []string{"less-than", "less-than-equals", "greater-than", "greater-than-equals"}
}

// number returns the value of a metric that is compared by order.
func (v *Value) number() (float64, bool) {
	switch {
	case v == nil:
		return 0, false
	case v.Count != nil:
		return float64(*v.Count), true
	case v.Number != nil:
		return *v.Number, true
	}
	return 0, false
}

func count(n int64) Value { return Value{Count: &n} }

// normal reports whether a data point satisfies the criteria; threshold is
// that of a statistic, else unused.
func (c *Criteria) normal(got Value, threshold float64) bool {
	want := c.Value
	if n, ok := got.number(); ok {
		if c.Statistic == nil {
			threshold, _ = want.number()
		}
		switch c.Operator {
		case "less-than":
			return n < threshold
		case "less-than-equals":
			return n <= threshold
		case "greater-than":
			return n > threshold
		}
		return n >= threshold
	}
	in := strings.HasPrefix(c.Operator, "in-")
	for _, ip := range got.CIDRs {
		if inCIDRs(ip, want.CIDRs) != in {
			return false
		}
	}
	for _, port := range got.Ports {
		if slices.Contains(want.Ports, port) != in {
			return false
		}
	}
	for _, n := range got.Numbers {
		if slices.Contains(want.Numbers, n) != in {
			return false
		}
	}
	for _, s := range got.Strings {
		if slices.Contains(want.Strings, s) != in {
			return false
		}
	}
	return true
}

func inCIDRs(ip string, cidrs []string) bool {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(cidrs, func(c string) bool {
		p, err := parseCIDR(c)
		return err == nil && p.Contains(addr.Unmap())
	})
}

// parseCIDR reads a prefix, or an address as the prefix of itself.
func parseCIDR(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

var statistics = []string{"p0", "p0.1", "p0.01", "p1", "p10", "p50", "p90", "p99", "p99.9", "p99.99", "p100"}

// percentile returns the value that so many percent of all do not exceed, by
// nearest rank. all is sorted and not empty.
func percentile(name string, all []float64) float64 {
	p, err := strconv.ParseFloat(strings.TrimPrefix(name, "p"), 64)
	if err != nil {
		return 0 // checked when it was given
	}
	rank := int(math.Ceil(p / 100 * float64(len(all))))
	return all[min(max(rank, 1), len(all))-1]
}

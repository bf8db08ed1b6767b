package defender

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/thingloom/thingloom/internal/cbor"
)

// A Report is what a device said of itself, with its values by metric.
type Report struct {
	ID      int64
	Version string
	Values  map[string]Value
}

// maxReportBytes bounds a report.
const maxReportBytes = 128 << 10

// long maps the short names of reports to the long ones, in any place.
var long = map[string]string{"hed": "header", "rid": "report_id", "v": "version", "met": "metrics", "cmet": "custom_metrics",
	"tc": "tcp_connections", "ec": "established_connections", "cs": "connections", "rad": "remote_addr", "lp": "local_port",
	"li": "local_interface", "t": "total", "tp": "listening_tcp_ports", "up": "listening_udp_ports", "pts": "ports", "pt": "port",
	"if": "interface", "ns": "network_stats", "bi": "bytes_in", "bo": "bytes_out", "pi": "packets_in", "po": "packets_out"}

// fields is an object whose names may be short.
type fields map[string]json.RawMessage

func (f *fields) UnmarshalJSON(text []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	out := fields{}
	for name, v := range raw {
		if l, ok := long[name]; ok {
			name = l
		}
		if _, twice := out[name]; twice {
			return fmt.Errorf("%s is there twice", name)
		}
		out[name] = v
	}
	*f = out
	return nil
}

// into decodes a member into v, and reports whether it is there.
func (f fields) into(name string, v any) (bool, error) {
	text, ok := f[name]
	if !ok || string(text) == "null" {
		return false, nil
	}
	if err := json.Unmarshal(text, v); err != nil {
		return false, invalid(name, "is not as it should be: %v", err)
	}
	return true, nil
}

// ParseReport reads a report in JSON, or in CBOR. kindOf tells the type of a
// custom metric, empty for one that is not defined. Errors are ErrInvalid.
func ParseReport(text []byte, isCBOR bool, typeOf func(metric string) string) (Report, error) {
	if len(text) > maxReportBytes {
		return Report{}, invalid("report", "has %d bytes, more than %d", len(text), maxReportBytes)
	}
	if isCBOR {
		var err error
		if text, err = cbor.ToJSON(text); err != nil {
			return Report{}, invalid("report", "cannot be read: %v", err)
		}
	}
	var top fields
	if err := json.Unmarshal(text, &top); err != nil {
		return Report{}, invalid("report", "is not JSON: %v", err)
	}
	r := Report{Values: map[string]Value{}}
	var header, metrics fields
	if found, err := top.into("header", &header); err != nil || !found {
		return r, errors.Join(err, ErrHeader)
	}
	if found, err := header.into("report_id", &r.ID); err != nil || !found {
		return r, errors.Join(err, invalid("header.report_id", "is missing or not a whole number"))
	}
	if _, err := header.into("version", &r.Version); err != nil {
		return r, err
	}
	if major, _, _ := strings.Cut(r.Version, "."); r.Version != "" && major != "1" {
		return r, invalid("header.version", "is %q, not 1.0", r.Version)
	}
	found, err := top.into("metrics", &metrics)
	if err != nil {
		return r, err
	}
	if err := r.metrics(metrics); err != nil {
		return r, err
	}
	var custom map[string][]map[string]json.RawMessage
	foundCustom, err := top.into("custom_metrics", &custom)
	if err != nil {
		return r, err
	}
	if !found && !foundCustom {
		return r, invalid("metrics", "and custom_metrics are both missing")
	}
	for _, name := range slices.Sorted(maps.Keys(custom)) {
		if err := r.custom(name, custom[name], typeOf(name)); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (r *Report) metrics(m fields) error {
	var network fields
	if _, err := m.into("network_stats", &network); err != nil {
		return err
	}
	for name, metric := range map[string]string{"bytes_in": "aws:all-bytes-in", "bytes_out": "aws:all-bytes-out",
		"packets_in": "aws:all-packets-in", "packets_out": "aws:all-packets-out"} {
		var n int64
		found, err := network.into(name, &n)
		if err != nil || n < 0 {
			return errors.Join(err, invalid("network_stats."+name, "is not a number of 0 or more"))
		}
		if found {
			r.Values[metric] = count(n)
		}
	}
	for name, metric := range map[string]string{"listening_tcp_ports": "tcp", "listening_udp_ports": "udp"} {
		if err := r.ports(m, name, metric); err != nil {
			return err
		}
	}
	return r.connections(m)
}

func (r *Report) ports(m fields, name, protocol string) error {
	var block fields
	found, err := m.into(name, &block)
	if err != nil || !found {
		return err
	}
	var list []fields
	listed, err := block.into("ports", &list)
	if err != nil {
		return err
	}
	v := Value{Ports: []int{}}
	for _, entry := range list {
		var port int
		if found, err := entry.into("port", &port); err != nil || !found || port < 0 || port > 65535 {
			return errors.Join(err, invalid(name+".ports", "has an entry without a port"))
		}
		v.Ports = append(v.Ports, port)
	}
	total := int64(len(v.Ports))
	if _, err := block.into("total", &total); err != nil || total < 0 {
		return errors.Join(err, invalid(name+".total", "is not a number of 0 or more"))
	}
	if listed {
		r.Values["aws:listening-"+protocol+"-ports"] = v
	}
	r.Values["aws:num-listening-"+protocol+"-ports"] = count(total)
	return nil
}

func (r *Report) connections(m fields) error {
	var tcp, established fields
	if _, err := m.into("tcp_connections", &tcp); err != nil {
		return err
	}
	found, err := tcp.into("established_connections", &established)
	if err != nil || !found {
		return err
	}
	var list []fields
	listed, err := established.into("connections", &list)
	if err != nil {
		return err
	}
	v := Value{CIDRs: []string{}}
	seen := map[netip.Addr]bool{}
	for _, entry := range list {
		var remote string
		if _, err := entry.into("remote_addr", &remote); err != nil {
			return err
		}
		addr, ok := parseAddress(remote)
		if !ok {
			return invalid("established_connections.connections", "has the remote_addr %q, which is no address", remote)
		}
		if !seen[addr] {
			v.CIDRs, seen[addr] = append(v.CIDRs, addr.String()), true
		}
	}
	total := int64(len(list))
	if _, err := established.into("total", &total); err != nil || total < 0 {
		return errors.Join(err, invalid("established_connections.total", "is not a number of 0 or more"))
	}
	if listed {
		r.Values["aws:destination-ip-addresses"] = v
	}
	r.Values["aws:num-established-tcp-connections"] = count(total)
	return nil
}

// custom reads the values of a custom metric; one that is not defined is left out.
func (r *Report) custom(name string, list []map[string]json.RawMessage, want string) error {
	if want == "" {
		return nil
	}
	member := map[string]string{"number": "number", "number-list": "number_list", "string-list": "string_list", "ip-address-list": "ip_list"}[want]
	if len(list) > 1 {
		return invalid("custom_metrics."+name, "has %d values, more than one", len(list))
	}
	for _, entry := range list {
		text, ok := entry[member]
		if !ok {
			return invalid("custom_metrics."+name, "has an entry without %s", member)
		}
		var v Value
		into := map[string]any{"number": &v.Number, "number_list": &v.Numbers, "string_list": &v.Strings, "ip_list": &v.CIDRs}[member]
		if err := json.Unmarshal(text, into); err != nil || string(text) == "null" {
			return invalid("custom_metrics."+name, "has a %s that is none", member)
		}
		for i, ip := range v.CIDRs {
			addr, ok := parseAddress(ip)
			if !ok {
				return invalid("custom_metrics."+name, "has %q, which is no address", ip)
			}
			v.CIDRs[i] = addr.String()
		}
		r.Values[name] = v
	}
	return nil
}

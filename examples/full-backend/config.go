package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Config is everything that can be set, by flag or by the file of -config.
// A flag given on the command line wins over the file.
type Config struct {
	Data         string   `json:"data" usage:"folder of the database, the certificates and the bucket"`
	HTTP         string   `json:"http" usage:"address of the page and the REST API; other than loopback it asks for the admin token everywhere"`
	MQTT         string   `json:"mqtt" usage:"address of MQTT over mutual TLS"`
	HTTPS        string   `json:"https" usage:"address of HTTPS and WebSocket for devices, mutual TLS; by ALPN x-amzn-mqtt-ca or mqtt also of MQTT"`
	Plain        string   `json:"plain" usage:"address of MQTT without TLS and without authentication; loopback only; empty is off"`
	Unix         string   `json:"unix" usage:"file of a Unix socket of MQTT without authentication: who may open the file may do everything; empty is off"`
	Proxy        string   `json:"proxy" usage:"networks of load balancers (10.0.0.0/8,...) whose connections to -mqtt and -https begin with a header of the PROXY protocol"`
	AWSLimits    bool     `json:"awsLimits" usage:"hold devices to the limits of AWS IoT's gateway: no QoS 2, 128 KiB, 8 filters a SUBSCRIBE, rates, ..."`
	Sys          Duration `json:"sys" usage:"how often statistics are published under $SYS/; 0 is never"`
	MaxMemory    int      `json:"maxMemory" usage:"bytes that messages on their way, sessions and subscriptions may take in memory; 0 is no limit"`
	HTTPPatience Duration `json:"httpPatience" usage:"how long a client of HTTP may keep a request waiting for its header, its body, or for its taking the answer, at less than 16 KiB/s"`
	Hosts        string   `json:"hosts" usage:"names and addresses in the server certificate, separated by commas, made on the first start"`
	NotifyURL    string   `json:"notifyURL" usage:"push notifications go to this ntfy-compatible server (http://host/topic); empty shows them on the page alone"`
	Threshold    float64  `json:"threshold" usage:"temperature threshold of things without a row of their own, written to the table on the first start"`
	Window       Duration `json:"window" usage:"length of the tumbling windows"`
	Lateness     Duration `json:"lateness" usage:"how far event time may be out of order"`
	FileEvery    Duration `json:"fileEvery" usage:"a file of the bucket is closed after this long"`
	FileBytes    int      `json:"fileBytes" usage:"a file of the bucket is closed at this size"`
	Partitions   int      `json:"partitions" usage:"partitions of a stream, fixed on the first start"`
	Secrets      string   `json:"secrets" usage:"folder with a file for each secret that get_secret may read; empty: statements that call it are refused"`
	Simulate     int      `json:"simulate" usage:"number of simulated sensors"`
	Every        Duration `json:"every" usage:"how often a simulated sensor publishes"`
	Verbose      bool     `json:"verbose" usage:"log debug messages"`

	// What the actions of AWS need.
	Streams         string `json:"streams" usage:"names of durable streams for the action kinesis, separated by commas; telemetry and cloudwatch are there always"`
	DeliveryStreams string `json:"deliveryStreams" usage:"names of delivery streams for the action firehose, separated by commas; each makes files below bucket/firehose"`
	Roles           string `json:"roles" usage:"file of credentials with a section for each role ARN that the action http may sign as (auth.sigv4); empty: such rules are refused"`
}

func defaults() Config {
	return Config{
		Data:         "thingloom-data",
		HTTP:         "127.0.0.1:8080",
		MQTT:         ":8883",
		HTTPS:        ":8443",
		HTTPPatience: Duration(10 * time.Second),
		Hosts:        "localhost,127.0.0.1,::1",
		Threshold:    30,
		Window:       Duration(10 * time.Second),
		Lateness:     Duration(2 * time.Second),
		FileEvery:    Duration(5 * time.Second),
		FileBytes:    4 << 20,
		Partitions:   4,
		Every:        Duration(time.Second),
	}
}

// A Duration is written as text, "1m30s", in flags and in the file.
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// Set makes a Duration a flag.Value.
func (d *Duration) Set(text string) error {
	v, err := time.ParseDuration(text)
	*d = Duration(v)
	return err
}

func (d *Duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("want a text like \"1m30s\": %w", err)
	}
	return d.Set(text)
}

func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// parseConfig reads args, and the file that -config names.
func parseConfig(args []string) (Config, error) {
	cfg := defaults()
	var file string
	bind := func(to *Config) *flag.FlagSet {
		fs := flag.NewFlagSet("full-backend", flag.ContinueOnError)
		fs.StringVar(&file, "config", "", "JSON `file` with any of these settings")
		v := reflect.ValueOf(to).Elem()
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name := f.Tag.Get("json")
			usage := f.Tag.Get("usage")
			switch p := v.Field(i).Addr().Interface().(type) {
			case *string:
				fs.StringVar(p, name, *p, usage)
			case *int:
				fs.IntVar(p, name, *p, usage)
			case *float64:
				fs.Float64Var(p, name, *p, usage)
			case *bool:
				fs.BoolVar(p, name, *p, usage)
			case *Duration:
				fs.Var(p, name, usage)
			}
		}
		return fs
	}
	fs := bind(&cfg)
	if err := fs.Parse(args); err != nil {
		return cfg, err
	}
	if fs.NArg() > 0 {
		return cfg, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if file != "" {
		fromFile := defaults()
		text, err := os.ReadFile(file)
		if err != nil {
			return cfg, err
		}
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&fromFile); err != nil {
			return cfg, fmt.Errorf("%s: %w", file, err)
		}
		cfg = fromFile
		// Parsed a second time over the file, so that flags win.
		if err := bind(&cfg).Parse(args); err != nil {
			return cfg, err
		}
	}
	return cfg, cfg.check()
}

func (c *Config) check() error {
	var errs []error
	bad := func(name, format string, args ...any) {
		errs = append(errs, fmt.Errorf("-%s: %s", name, fmt.Sprintf(format, args...)))
	}
	if c.Data == "" {
		bad("data", "must not be empty")
	}
	if c.Plain != "" && !loopback(c.Plain) {
		bad("plain", "%s is open to strangers; only a loopback address is allowed", c.Plain)
	}
	for name, d := range map[string]Duration{"httpPatience": c.HTTPPatience, "window": c.Window, "fileEvery": c.FileEvery, "every": c.Every} {
		if d <= 0 {
			bad(name, "must be above 0")
		}
	}
	if c.Window < Duration(time.Second) || time.Duration(c.Window)%time.Second != 0 {
		bad("window", "must be whole seconds")
	}
	if _, err := c.proxies(); err != nil {
		bad("proxy", "%v", err)
	}
	if c.Sys < 0 {
		bad("sys", "must not be negative")
	}
	if c.MaxMemory < 0 {
		bad("maxMemory", "must not be negative")
	}
	if c.Lateness < 0 {
		bad("lateness", "must not be negative")
	}
	if c.FileBytes < 1 {
		bad("fileBytes", "must be above 0")
	}
	if c.Partitions < 1 || c.Partitions > 256 {
		bad("partitions", "must be 1 to 256")
	}
	if err := checkStreams(c.Streams, telemetryStream, cloudWatchStream); err != nil {
		bad("streams", "%v", err)
	}
	if err := checkStreams(c.DeliveryStreams); err != nil {
		bad("deliveryStreams", "%v", err)
	}
	if c.Simulate < 0 || c.Simulate > 10000 {
		bad("simulate", "must be 0 to 10000")
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// proxies are the networks of -proxy.
func (c *Config) proxies() (all []netip.Prefix, err error) {
	if c.Proxy == "" {
		return nil, nil
	}
	for text := range strings.SplitSeq(c.Proxy, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func (c *Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.Data}, elem...)...)
}

// loopback reports whether addr can be reached from this machine alone.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Command custom-action is an action plugin of one's own in one file: it sends
// a measurement to a statsd server over UDP. The program around it reads JSON
// lines, as a rule would hand them over, and delivers each.
//
//	$ printf '%s\n' '{"thing":"s1","t":31.5}' | go run ./examples/custom-action -statsd 127.0.0.1:8125
//	delivered 1, dead-lettered 0, pending 0
//
// Nothing in it is special: a backend lists statsd.Spec in its catalog beside
// the plugins of the library, and rules say
//
//	{"statsd": {"metric": "sensors.${thing}.temperature", "value": "${t}"}}
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/thingloom/thingloom/actions"
)

// params are what a rule says. The tags are the documentation and the check.
type params struct {
	Metric actions.Template `json:"metric" required:"true" doc:"name of the metric"`
	Value  actions.Template `json:"value" required:"true" doc:"a number"`
	Type   string           `json:"type" default:"g" doc:"g (gauge), c (counter), ms (timer) or h (histogram)"`
}

// statsd returns the plugin for one server.
func statsd(server string) actions.Spec {
	return actions.NewSpec("statsd", "send a measurement to a statsd server", func(ctx context.Context, p *params) (actions.Action, error) {
		switch p.Type {
		case "":
			p.Type = "g"
		case "g", "c", "ms", "h":
		default:
			return nil, &actions.ParamError{Path: "type", Err: fmt.Errorf("%q is none of g, c, ms, h", p.Type)}
		}
		conn, err := new(net.Dialer).DialContext(ctx, "udp", server) // sends nothing
		if err != nil {
			return nil, err
		}
		return &metric{params: p, conn: conn}, nil
	})
}

// A metric is the opened action. It holds a socket, so it has a Close.
type metric struct {
	*params
	conn net.Conn
}

// Do is called from many goroutines; a datagram is one Write.
func (m *metric) Do(ctx context.Context, r *actions.Request) error {
	name, err1 := m.Metric.Expand(ctx, r)
	value, err2 := m.Value.Expand(ctx, r)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if _, err := strconv.ParseFloat(value, 64); err != nil {
		// Trying again does not make it a number.
		return actions.Permanent(fmt.Errorf("statsd: value %q is no number", value))
	}
	if name == "" || strings.ContainsAny(name, ":|\n") {
		return actions.Permanent(fmt.Errorf("statsd: %q is no name of a metric", name))
	}
	_, err := fmt.Fprintf(m.conn, "%s:%s|%s", name, value, m.Type)
	return err // tried again by the dispatcher's policy
}

func (m *metric) Close() error { return m.conn.Close() }

func main() {
	server := flag.String("statsd", "127.0.0.1:8125", "address of the statsd server")
	action := flag.String("params", `{"metric":"sensors.${thing}.temperature","value":"${t}"}`, "parameters of the action")
	flag.Parse()
	if err := run(context.Background(), *server, *action, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, server, action string, in io.Reader, out io.Writer) error {
	catalog, err := actions.NewCatalog(statsd(server))
	if err != nil {
		return err
	}
	d, err := actions.NewDispatcher(catalog, &actions.Options{Full: actions.Block}) // a file can wait
	if err != nil {
		return err
	}
	a, err := d.Open(ctx, "statsd", json.RawMessage(action))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()
	var failed error
	lines := bufio.NewScanner(in)
	for lines.Scan() && failed == nil {
		message := []byte(lines.Text()) // the queue keeps it, the scanner reuses its own
		failed = a.Do(ctx, &actions.Request{Payload: message, Source: message})
	}
	stop()
	if err := errors.Join(failed, lines.Err(), <-ran); err != nil {
		return err
	}
	s := d.Stats()[0]
	fmt.Fprintf(out, "delivered %d, dead-lettered %d, pending %d", s.Delivered, s.DeadLettered, s.Pending)
	for reason, n := range s.Dropped {
		fmt.Fprintf(out, ", dropped %d (%s, the last: %s)", n, reason, s.LastError)
	}
	fmt.Fprintln(out)
	return nil
}

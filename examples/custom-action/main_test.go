package main

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/actionstest"
)

// A listener is a statsd server as far as a client can tell.
type listener struct {
	net.PacketConn
	mu  sync.Mutex
	got []string
}

func listen(t *testing.T) *listener {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{PacketConn: c}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, _, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			l.mu.Lock()
			l.got = append(l.got, string(buf[:n]))
			l.mu.Unlock()
		}
	})
	t.Cleanup(func() { c.Close(); wg.Wait() })
	return l
}

func (l *listener) metrics() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.got)
}

func TestConformance(t *testing.T) {
	actionstest.TestAction(t, func(t *testing.T) actionstest.Plugin {
		l := listen(t)
		return actionstest.Plugin{
			Spec: statsd(l.LocalAddr().String()), Params: json.RawMessage(`{"metric":"m.${n}","value":"${n}"}`),
			Invalid:   []json.RawMessage{json.RawMessage(`{"metric":"m"}`), json.RawMessage(`{"metric":"m","value":"1","type":"x"}`)},
			Delivered: func() int { return len(l.metrics()) },
		}
	})
}

func TestRun(t *testing.T) {
	l := listen(t)
	in := strings.NewReader(`{"thing":"s1","t":31.5}` + "\n" + `{"thing":"s2","t":"warm"}` + "\n" + `{"thing":"s3","t":-2}` + "\n")
	var out strings.Builder
	if err := run(t.Context(), l.LocalAddr().String(), `{"metric":"sensors.${thing}.temperature","value":"${t}"}`, in, &out); err != nil {
		t.Fatal(err)
	}
	if want := `delivered 2, dead-lettered 0, pending 0, dropped 1 (failed, the last: statsd: value "warm" is no number)` + "\n"; out.String() != want {
		t.Errorf("got  %swant %s", out.String(), want)
	}
	for deadline := time.Now().Add(5 * time.Second); len(l.metrics()) < 2 && time.Now().Before(deadline); {
		<-time.After(time.Millisecond) // between send and receive lies the kernel
	}
	got := l.metrics()
	slices.Sort(got)
	if want := []string{"sensors.s1.temperature:31.5|g", "sensors.s3.temperature:-2|g"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := run(t.Context(), l.LocalAddr().String(), `{"metric":"a","valve":"1"}`, strings.NewReader(""), &out); err == nil ||
		!strings.Contains(err.Error(), "did you mean value?") {
		t.Errorf("a misspelt parameter: %v", err)
	}
}

var _ actions.Action = (*metric)(nil)

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/contrib/benchmarks/internal/process"
)

// TestKuiper: eKuiper makes of the messages what the others make, and its rate
// can be measured.
func TestKuiper(t *testing.T) {
	if _, err := process.LookUp("kuiperd", ""); err != nil {
		t.Skip(err)
	}
	k, err := startKuiper("", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer k.Stop()
	if err := k.same(); err != nil {
		t.Error(err)
	}
	for _, p := range cases {
		if rate, err := k.rate(50*time.Millisecond, p); err != nil || rate <= 0 {
			t.Errorf("%v messages per CPU-second, %v", rate, err)
		}
	}
}

func TestKuiperDecoded(t *testing.T) {
	for status, want := range map[string]int{
		`{"status":"running","source_s_0_messages_processed_total":9,"op_2_decoder_0_messages_processed_total":7,"op_2_decoder_0_exceptions_total":0}`: 7,
		`{"status":"running"}`: 0,
		`{"op_2_decoder_0_messages_processed_total":7,"op_3_filter_0_exceptions_total":1}`: -1,
		`not JSON`: -1,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/rules/r1/status" {
				t.Errorf("asked for %s", r.URL.Path)
			}
			_, _ = io.WriteString(w, status)
		}))
		n, err := (&kuiper{url: server.URL}).decoded("r1")
		if (err != nil) != (want < 0) || err == nil && n != want {
			t.Errorf("%s: %d, %v", status, n, err)
		}
		server.Close()
	}
}

// TestTable: everybody has a row with four figures, or dashes and the reason.
func TestTable(t *testing.T) {
	all, err := contenders()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir()) // no kuiperd
	var b strings.Builder
	if err := table(&b, time.Microsecond, ""); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	for i, c := range all {
		if line := lines[2+i]; !strings.HasPrefix(line, "| "+c.name+" |") || strings.Count(line, "|") != 6 {
			t.Errorf("%s: %q", c.name, line)
		}
	}
	if !strings.Contains(b.String(), "| eKuiper, its whole program | - | - | - | - |\n\n-: no program kuiperd") {
		t.Errorf("no reason for eKuiper's dashes in %s", b.String())
	}
}

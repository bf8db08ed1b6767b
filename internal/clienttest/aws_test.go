package clienttest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thingloom/thingloom/internal/foreign"
)

// script runs a program in dir that must print want.
func script(t *testing.T, dir, want, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil || out.String() != want {
		t.Errorf("%s %q: %v\n got %s\nwant %s\n%s", program, args, err, out.String(), want, errs.String())
	}
}

func lines(l ...string) string { return strings.Join(l, "\n") + "\n" }

// deviceScript runs one of the AWS scripts over mutual TLS with the profile of the service.
func deviceScript(t *testing.T, npm, name, id string, want []string, more ...string) {
	t.Helper()
	dir := foreign.NeedNPM(t, npm)
	node := foreign.Need(t, "node")
	file, err := filepath.Abs("testdata/" + name)
	check(t, err)
	s := startAWS(t)
	host, port, err := net.SplitHostPort(s.tls)
	check(t, err)
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], "ID", id)
	}
	script(t, dir, lines(want...), node, append([]string{file, host, port, s.pki.ca, s.pki.cert, s.pki.key, id}, more...)...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := s.principals[id]; got != "device-1" {
		t.Errorf("the principal is %q, want device-1", got)
	}
}

func TestAWSDeviceSDKv1(t *testing.T) {
	deviceScript(t, "aws-iot-device-sdk", "awsv1.js", "v1", []string{
		"connected false",
		"shadow 0 0 0 0 0 0 0",
		"live ID/a|0|false|zero ID/a|1|false|one ID/kept|1|false|kept",
		"resumed true ID/offline|1|false|0 ID/offline|1|false|1 ID/offline|1|false|2",
		"retained ID/kept|1|true|kept",
		"will ID/kept|1|false|gone",
	})
}

func TestAWSDeviceSDKv2(t *testing.T) {
	t.Run("5", func(t *testing.T) {
		deviceScript(t, "aws-iot-device-sdk-v2", "awsv2.js", "v2-5", []string{
			"connected false 1 100 1200 8 false",
			"granted 1 1 135",
			"live ID/a|0|false|zero|||| ID/a|1|false|one|text|r|c|k=v,k=w ID/kept|1|false|kept||||",
			"resumed true ID/offline|1|false|0|||| ID/offline|1|false|1|||| ID/offline|1|false|2||||",
			"retained ID/kept|1|true|kept||||",
			fmt.Sprint("forbidden ", 0x87),
			"shared ID/shared|1|false|for one||||",
			"will ID/kept|1|false|gone||||",
		}, "5")
	})
	t.Run("3.1.1", func(t *testing.T) {
		deviceScript(t, "aws-iot-device-sdk-v2", "awsv2.js", "v2-3", []string{
			"connected false",
			"granted 1",
			"live ID/a|0|false|zero ID/a|1|false|one ID/kept|1|false|kept",
			"resumed true ID/offline|1|false|0 ID/offline|1|false|1 ID/offline|1|false|2",
			"retained ID/kept|1|true|kept",
		}, "4")
	})
}

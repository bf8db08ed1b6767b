package process

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// TestMain is the program that the tests start: it listens where it is told to, or ends.
func TestMain(m *testing.M) {
	switch addr := os.Getenv("PROCESS_TEST_LISTEN"); addr {
	case "":
		os.Exit(m.Run())
	case "not at all":
		os.Exit(7)
	default:
		l, err := net.Listen("tcp", addr)
		if err != nil {
			os.Exit(1)
		}
		for {
			if _, err := l.Accept(); err != nil {
				os.Exit(1)
			}
		}
	}
}

func TestStart(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PROCESS_TEST_LISTEN="+addr)
	p, err := Start(cmd, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	if kib, err := p.ResidentKiB(); err != nil || kib < 100 {
		t.Errorf("%v KiB, %v", kib, err)
	}
	if cpu, err := p.CPU(); err != nil || cpu < 0 {
		t.Errorf("%v, %v", cpu, err)
	}
	p.Stop()
	p.Stop() // does no harm
	if _, err := p.CPU(); err == nil {
		t.Error("it was stopped and still runs")
	}
}

func TestStartFails(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PROCESS_TEST_LISTEN=not at all")
	if p, err := Start(cmd, "127.0.0.1:1"); err == nil {
		p.Stop()
		t.Error("a program that ends at once was started")
	}
}

func TestLookUp(t *testing.T) {
	dir := t.TempDir()
	want := filepath.Join(dir, "flashmq")
	if err := os.WriteFile(want, []byte("#!"), 0o700); err != nil {
		t.Fatal(err)
	}
	if path, err := LookUp("flashmq", dir); err != nil || path != want {
		t.Errorf("%q, %v", path, err)
	}
	if path, err := LookUp("no such broker", dir); err == nil {
		t.Errorf("found %q", path)
	}
}

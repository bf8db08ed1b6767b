package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// start runs the program on a port of its own.
func start(t *testing.T, data, query string) (url string, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, l, data, query) }()
	return "http://" + l.Addr().String(), func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestMeasurementsBecomeLiveWindowsAndFiles(t *testing.T) {
	data := t.TempDir()
	query := strings.Replace(windows, "'10' SECOND", "'50' MILLISECONDS", 1)
	url, stop := start(t, data, query)
	if code, body := post(t, url+"/put/s1", `{"t":`); code != 400 || !strings.Contains(body, "not JSON") {
		t.Errorf("no JSON: %d %s", code, body)
	}
	for i := range 3 {
		if code, body := post(t, url+"/put/s1", fmt.Sprintf(`{"t":%d}`, i)); code != 204 {
			t.Errorf("put: %d %s", code, body)
		}
	}
	// The window closes when a later record moves the watermark; so feed
	// until it does.
	resp, err := http.Get(url + "/live")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	feeding, fed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(fed)
		for {
			select {
			case <-feeding:
				return
			default:
				post(t, url+"/put/s1", `{"t":7}`)
			}
		}
	}()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), `data: {"key":"s1"`) {
	}
	close(feeding)
	<-fed
	if !strings.Contains(lines.Text(), `"value":{"key":"s1","t":`) {
		t.Errorf("event is %s", lines.Text())
	}
	stop()

	metrics := 0
	err = filepath.WalkDir(filepath.Join(data, "bucket"), func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		body, err := os.ReadFile(name)
		metrics += bytes.Count(body, []byte(`"peak":`))
		return err
	})
	if err != nil || metrics == 0 {
		t.Errorf("%d windows are in files, %v", metrics, err)
	}
}

func TestBadQuery(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), l, t.TempDir(), "SELECT"); err == nil || !strings.Contains(err.Error(), "line 1, column 7") {
		t.Errorf("error is %v", err)
	}
}

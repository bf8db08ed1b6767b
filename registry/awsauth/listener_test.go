package awsauth

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the HTTP server refuses itself has the shape of AWS; what handlers
// answer, plain text and files too, goes through as it is.
func TestListener(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file.txt")
	content := strings.Repeat("line\n", 50_000)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/refused", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "400 Bad Request", 400) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	s := httptest.NewUnstartedServer(mux)
	s.Listener = Listener(s.Listener)
	s.Config.MaxHeaderBytes = 4 << 10
	s.Start()
	defer s.Close()
	ask := func(request string) (*http.Response, string) {
		t.Helper()
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		w, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%.40q: %v", request, err)
		}
		defer w.Body.Close()
		text, err := io.ReadAll(w.Body)
		if err != nil {
			t.Fatalf("%.40q: %v", request, err)
		}
		return w, string(text)
	}
	for _, row := range []struct {
		what, request string
		status        int
		name          string
	}{
		{"no HTTP", "hello\r\n\r\n", 400, "InvalidRequestException"},
		{"a wrong escape", "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400, "InvalidRequestException"},
		{"no host", "GET / HTTP/1.1\r\n\r\n", 400, "InvalidRequestException"},
		{"two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "InvalidRequestException"},
		{"another version", "GET / HTTP/3.7\r\nHost: x\r\n\r\n", 505, "InvalidRequestException"},
		{"an unknown coding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: zip\r\n\r\n", 501, "NotImplementedException"},
		{"a large header", "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", 431, "InvalidRequestException"},
	} {
		w, text := ask(row.request)
		var said struct{ Message string }
		if err := json.Unmarshal([]byte(text), &said); err != nil || said.Message == "" || w.StatusCode != row.status || w.Header.Get("x-amzn-ErrorType") != row.name || !w.Close {
			t.Errorf("%s: %s %v %s", row.what, w.Status, w.Header, text)
		}
	}
	if w, text := ask("GET /refused HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); w.StatusCode != 400 || text != "400 Bad Request\n" {
		t.Errorf("a handler's refusal: %s %q", w.Status, text)
	}
	if w, text := ask("GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); w.StatusCode != 200 || text != content {
		t.Errorf("a file: %s, %d bytes", w.Status, len(text))
	}
}

package ruleshttp_test

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/thingloom/thingloom/internal/foreign"
	"github.com/thingloom/thingloom/rules"
	"github.com/thingloom/thingloom/rules/ruleshttp"
)

// TestJavaScriptSDK drives every operation with the unmodified AWS SDK: its
// types of errors, its dates, its paging.
func TestJavaScriptSDK(t *testing.T) {
	npm := foreign.NeedNPM(t, "@aws-sdk/client-iot")
	e, err := rules.Open(t.Context(), rules.NewMemStore(), bindAll{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(ruleshttp.Handler(e, nil))
	defer server.Close()
	script, err := os.Open(filepath.Join("testdata", "sdk.js"))
	if err != nil {
		t.Fatal(err)
	}
	defer script.Close()
	cmd := exec.CommandContext(t.Context(), "node", "-", server.URL)
	cmd.Dir, cmd.Stdin = npm, script
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

package brokerhttp_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerhttp"
)

// TestErrorTable walks all sentinels of both packages: a new one fails until
// it has a row.
func TestErrorTable(t *testing.T) {
	want := map[string]struct {
		err    error
		status int
		name   string
	}{
		"broker.ErrNotAuthorized":       {broker.ErrNotAuthorized, 403, "ForbiddenException"},
		"broker.ErrBadCredentials":      {broker.ErrBadCredentials, 401, "UnauthorizedException"},
		"broker.ErrNotFound":            {broker.ErrNotFound, 404, "ResourceNotFoundException"},
		"broker.ErrTopic":               {broker.ErrTopic, 400, "InvalidRequestException"},
		"broker.ErrTooDeep":             {broker.ErrTooDeep, 400, "InvalidRequestException"},
		"broker.ErrTooLarge":            {broker.ErrTooLarge, 413, "RequestEntityTooLargeException"},
		"broker.ErrQueueFull":           {broker.ErrQueueFull, 429, "ThrottlingException"},
		"broker.ErrMemory":              {broker.ErrMemory, 429, "ThrottlingException"},
		"broker.ErrProtocol":            {broker.ErrProtocol, 400, "InvalidRequestException"},
		"broker.ErrCorrupt":             {broker.ErrCorrupt, 500, "InternalFailureException"},
		"brokerhttp.ErrUnauthenticated": {brokerhttp.ErrUnauthenticated, 401, "UnauthorizedException"},
		"brokerhttp.ErrForbidden":       {brokerhttp.ErrForbidden, 403, "ForbiddenException"},
		"brokerhttp.ErrRequest":         {brokerhttp.ErrRequest, 400, "InvalidRequestException"},
		"brokerhttp.ErrNotFound":        {brokerhttp.ErrNotFound, 404, "ResourceNotFoundException"},
		"brokerhttp.ErrMethod":          {brokerhttp.ErrMethod, 405, "MethodNotAllowedException"},
		"brokerhttp.ErrTooLarge":        {brokerhttp.ErrTooLarge, 413, "RequestEntityTooLargeException"},
	}
	for pkg, file := range map[string]string{"broker": "../errors.go", "brokerhttp": "errors.go"} {
		syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range syntax.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.VAR {
				continue
			}
			for _, s := range decl.Specs {
				for _, name := range s.(*ast.ValueSpec).Names {
					if strings.HasPrefix(name.Name, "Err") && want[pkg+"."+name.Name].err == nil {
						t.Errorf("%s.%s has no row", pkg, name.Name)
					}
				}
			}
		}
	}
	for name, row := range want {
		w := do(newHandler(t, &fake{err: fmt.Errorf("wrapped: %w", row.err)}, nil), "POST", "/topics/a", "x")
		if w.Code != row.status || w.Header().Get("X-Amzn-Errortype") != row.name {
			t.Errorf("%s: %d %s, want %d %s", name, w.Code, w.Header().Get("X-Amzn-Errortype"), row.status, row.name)
		}
	}
}

package table_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/table"
)

func Example() {
	ctx := context.Background()
	tables := table.New(table.NewMemStore())
	for _, at := range []string{"1200", "1100"} {
		if err := tables.Put(ctx, "metrics", "sensor-1", at, []byte(`{"avg":21.5}`)); err != nil {
			panic(err)
		}
	}
	for row, err := range tables.Query(ctx, "metrics", "sensor-1") {
		fmt.Println(row.Sort, string(row.Item), err)
	}
	// Output:
	// 1100 {"avg":21.5} <nil>
	// 1200 {"avg":21.5} <nil>
}

func TestRefusals(t *testing.T) {
	tables := table.New(table.NewMemStore())
	for _, tt := range []struct{ name, key, sort, item, want string }{
		{"", "k", "", `{}`, "table name"},
		{"t", "", "", `{}`, "key"},
		{"t", "k\x00", "", `{}`, "zero byte"},
		{"t", "k", strings.Repeat("s", 1025), `{}`, "1025 bytes"},
		{"t", "k", "", `[]`, "object"},
		{"t", "k", "", `{`, "JSON"},
		{"t", "k", "", ``, "JSON"},
		{"t", "k", "", `{"a":"` + strings.Repeat("x", table.MaxItemBytes) + `"}`, "bytes"},
	} {
		if err := tables.Put(t.Context(), tt.name, tt.key, tt.sort, []byte(tt.item)); !errors.Is(err, table.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q %q: got %v, want %q", tt.name, tt.key, err, tt.want)
		}
	}
	if _, err := tables.Get(t.Context(), "t", "k", ""); !errors.Is(err, table.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestPlugin(t *testing.T) {
	tables := table.New(table.NewMemStore())
	open := func(params string) actions.Action {
		a, err := table.Spec(tables).Open(t.Context(), json.RawMessage(params))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	r := &actions.Request{Topic: "sensors/s1", Payload: []byte(`{"t":1}`), Source: []byte(`{"ts":5}`)}
	if err := open(`{"table":"latest","key":"${topic(2)}","sort":"${ts}"}`).Do(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if item, err := tables.Get(t.Context(), "latest", "s1", "5"); err != nil || string(item) != `{"t":1}` {
		t.Errorf("got %s, %v", item, err)
	}
	var about interface{ Resource() string }
	if err := open(`{"table":"latest","key":"${nothing}"}`).Do(t.Context(), r); !actions.IsPermanent(err) || !errors.As(err, &about) || about.Resource() != "latest" {
		t.Errorf("empty key: %v", err)
	}
	if err := open(`{"table":"latest","key":"s1","sort":"5","operation":"DELETE"}`).Do(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := tables.Get(t.Context(), "latest", "s1", "5"); !errors.Is(err, table.ErrNotFound) {
		t.Errorf("after DELETE: %v", err)
	}
	if _, err := table.Spec(tables).Open(t.Context(), json.RawMessage(`{"table":"t","key":"k","operation":"APPEND"}`)); !errors.Is(err, actions.ErrParams) {
		t.Errorf("operation: %v", err)
	}
}

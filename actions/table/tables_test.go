package table_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/actionstest"
	"github.com/thingloom/thingloom/actions/table"
)

func TestConformance(t *testing.T) {
	for name, tt := range map[string]struct {
		spec   func(*table.Tables) actions.Spec
		params string
	}{
		"table":    {table.Spec, `{"table":"t","key":"${topic(2)}"}`},
		"dynamoDB": {table.DynamoDBSpec, `{"tableName":"t","hashKeyField":"id","hashKeyValue":"${topic(2)}","roleArn":"arn:x"}`},
	} {
		t.Run(name, func(t *testing.T) {
			actionstest.TestAction(t, func(t *testing.T) actionstest.Plugin {
				tables := table.New(table.NewMemStore())
				return actionstest.Plugin{Spec: tt.spec(tables), Params: json.RawMessage(tt.params),
					Invalid: []json.RawMessage{json.RawMessage(strings.Replace(tt.params, "{", `{"operation":"APPEND",`, 1))},
					Delivered: func() (n int) {
						for _, err := range tables.Scan(t.Context(), "t") {
							if err != nil {
								t.Error(err)
							}
							n++
						}
						return n
					}}
			})
		})
	}
}

func TestCreate(t *testing.T) {
	tables := table.New(table.NewMemStore())
	if err := tables.Create(t.Context(), "t", "k", "", []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := tables.Create(t.Context(), "t", "k", "", []byte(`{"a":2}`)); !errors.Is(err, table.ErrExists) {
		t.Errorf("got %v", err)
	}
	if item, _ := tables.Get(t.Context(), "t", "k", ""); string(item) != `{"a":1}` {
		t.Errorf("got %s", item)
	}
}

func TestUpdate(t *testing.T) {
	tables := table.New(table.NewMemStore())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				err := tables.Update(t.Context(), "t", "k", "", func(old json.RawMessage) (json.RawMessage, error) {
					var item struct{ N int }
					if old != nil {
						if err := json.Unmarshal(old, &item); err != nil {
							return nil, err
						}
					}
					return fmt.Appendf(nil, `{"n":%d}`, item.N+1), nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if item, _ := tables.Get(t.Context(), "t", "k", ""); string(item) != `{"n":400}` {
		t.Errorf("got %s: updates were lost", item)
	}
	stop := errors.New("stop")
	if err := tables.Update(t.Context(), "t", "k", "", func(json.RawMessage) (json.RawMessage, error) { return nil, stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	if err := tables.Update(t.Context(), "t", "k", "", func(json.RawMessage) (json.RawMessage, error) { return json.RawMessage(`1`), nil }); !errors.Is(err, table.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	for range 2 {
		if err := tables.Update(t.Context(), "t", "k", "", func(json.RawMessage) (json.RawMessage, error) { return nil, nil }); err != nil {
			t.Error(err)
		}
		if _, err := tables.Get(t.Context(), "t", "k", ""); !errors.Is(err, table.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	}
}

func TestPage(t *testing.T) {
	tables := table.New(table.NewMemStore())
	for i := range 25 {
		if err := tables.Put(t.Context(), "t", fmt.Sprintf("k%d", i%2), fmt.Sprintf("2026-%02d", i), []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		page  table.Page
		sizes string
		first string
	}{
		{table.Page{}, "[25]", "k0 2026-00"},
		{table.Page{Limit: 10}, "[10 10 5]", "k0 2026-00"},
		{table.Page{Limit: 5, Key: "k0"}, "[5 5 3]", "k0 2026-00"},
		{table.Page{Limit: 13, Key: "k0"}, "[13]", "k0 2026-00"},
		{table.Page{Limit: 3, Key: "k1", Prefix: "2026-1"}, "[3 2]", "k1 2026-11"},
		{table.Page{Key: "absent"}, "[0]", ""},
	} {
		var sizes []int
		seen, first := map[string]bool{}, ""
		for p := tt.page; ; {
			rows, next, err := tables.Page(t.Context(), "t", p)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				if first == "" {
					first = row.Key + " " + row.Sort
				}
				if seen[row.Key+row.Sort] {
					t.Errorf("%+v: %v twice", tt.page, row)
				}
				seen[row.Key+row.Sort] = true
			}
			sizes = append(sizes, len(rows))
			if p.Token = next; next == "" {
				break
			}
		}
		if fmt.Sprint(sizes) != tt.sizes || first != tt.first {
			t.Errorf("%+v: pages of %v, first %q, want %s, %q", tt.page, sizes, first, tt.sizes, tt.first)
		}
	}
	for _, p := range []table.Page{{Token: "!"}, {Token: "YQ"}, {Prefix: "p"}} {
		if _, _, err := tables.Page(t.Context(), "t", p); !errors.Is(err, table.ErrInvalid) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	n := 0
	for _, err := range tables.QueryPrefix(t.Context(), "t", "k0", "2026-2") {
		if n++; err != nil {
			t.Error(err)
		}
	}
	if n != 3 {
		t.Errorf("%d rows by prefix, want 3", n)
	}
}

func TestDynamoDB(t *testing.T) {
	tables := table.New(table.NewMemStore())
	do := func(params string, payload string) error {
		t.Helper()
		a, err := table.DynamoDBSpec(tables).Open(t.Context(), json.RawMessage(params))
		if err != nil {
			t.Fatal(err)
		}
		return a.Do(t.Context(), &actions.Request{Topic: "sensors/s1", Payload: []byte(payload), Source: []byte(`{"ts":5,"op":"DELETE"}`)})
	}
	get := func(key, sort string) string {
		item, err := tables.Get(t.Context(), "t", key, sort)
		if err != nil {
			return err.Error()
		}
		return string(item)
	}
	const base = `"tableName":"t","hashKeyField":"thing","hashKeyValue":"${topic(2)}","rangeKeyField":"at","rangeKeyValue":"${ts}","rangeKeyType":"NUMBER","roleArn":"arn:x"`
	for _, step := range []struct{ params, payload, want string }{
		{`{` + base + `}`, `{"t":1}`, `{"at":5,"payload":{"t":1},"thing":"s1"}`},
		{`{` + base + `,"payloadField":"raw","operation":"UPDATE"}`, "\xff", `{"at":5,"payload":{"t":1},"raw":"/w==","thing":"s1"}`},
		{`{` + base + `}`, `2`, `{"at":5,"payload":2,"thing":"s1"}`},
	} {
		if err := do(step.params, step.payload); err != nil {
			t.Fatal(err)
		}
		if got := get("s1", "5"); got != step.want {
			t.Errorf("%s: got %s, want %s", step.params, got, step.want)
		}
	}
	if err := do(`{`+base+`,"operation":"${op}"}`, ``); err != nil || !strings.Contains(get("s1", "5"), "not found") {
		t.Errorf("%v, %s", err, get("s1", "5"))
	}
	for _, params := range []string{
		`{"roleArn":"arn:x","tableName":"t","hashKeyField":"k","hashKeyValue":"${none}"}`,
		`{"roleArn":"arn:x","tableName":"t","hashKeyField":"k","hashKeyValue":"x","hashKeyType":"NUMBER"}`,
		`{"roleArn":"arn:x","tableName":"t","hashKeyField":"k","hashKeyValue":"0x1","hashKeyType":"NUMBER"}`,
		`{"roleArn":"arn:x","tableName":"t","hashKeyField":"k","hashKeyValue":"true","hashKeyType":"NUMBER"}`,
		`{"roleArn":"arn:x","tableName":"${none}","hashKeyField":"k","hashKeyValue":"x"}`,
		`{"roleArn":"arn:x","tableName":"t","hashKeyField":"k","hashKeyValue":"x"}`, // the table has another schema
		`{"roleArn":"arn:x","tableName":"u","hashKeyField":"${none}","hashKeyValue":"x"}`,
		`{"roleArn":"arn:x","tableName":"u","hashKeyField":"k","hashKeyValue":"x","hashKeyType":"${op}"}`,
		`{"roleArn":"arn:x","tableName":"u","hashKeyField":"k","hashKeyValue":"x","rangeKeyField":"${none}","rangeKeyValue":"x"}`,
		`{"roleArn":"arn:x","tableName":"t","hashKeyField":"k","hashKeyValue":"x","operation":"${ts}"}`,
	} {
		if err := do(params, `{}`); !actions.IsPermanent(err) {
			t.Errorf("%s: got %v", params, err)
		}
	}
	for params, path := range map[string]string{
		`{"roleArn":"arn:x","tableName":"t","hashKeyField":"k","hashKeyValue":"x","hashKeyType":"BINARY"}`: "hashKeyType",
		`{"roleArn":"arn:x","tableName":"t","hashKeyField":"k","hashKeyValue":"x","rangeKeyField":"r"}`:    "rangeKeyField",
		`{"roleArn":"arn:x","tableName":"t","hashKeyField":"","hashKeyValue":"x"}`:                         "hashKeyField",
		`{"roleArn":"arn:x","tableName":"t","hashKeyField":"k","hashKeyValue":"x","operation":"ADD"}`:      "operation",
		`{"roleArn":"arn:x","tableName":"","hashKeyField":"k","hashKeyValue":"x"}`:                         "tableName",
		`{"roleArn":"arn:x","tableName":"$schemas","hashKeyField":"k","hashKeyValue":"x"}`:                 "tableName",
		`{"tableName":"t","hashKeyField":"k","hashKeyValue":"x"}`:                                          "roleArn",
	} {
		var param *actions.ParamError
		if _, err := table.DynamoDBSpec(tables).Open(t.Context(), json.RawMessage(params)); !errors.As(err, &param) || param.Path != path {
			t.Errorf("%s: got %v", params, err)
		}
	}
}

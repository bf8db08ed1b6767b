package table_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/actions"
	"github.com/thingloom/thingloom/actions/actionstest"
	"github.com/thingloom/thingloom/actions/table"
)

func create(t *testing.T, tables *table.Tables, name string, keys ...string) {
	t.Helper()
	s := table.Schema{HashKey: table.Attribute{Name: keys[0]}}
	if len(keys) > 1 {
		s.RangeKey = table.Attribute{Name: keys[1], Type: table.Number}
	}
	if err := tables.CreateTable(t.Context(), name, s); err != nil {
		t.Fatal(err)
	}
}

func TestDynamoDBv2Conformance(t *testing.T) {
	actionstest.TestAction(t, func(t *testing.T) actionstest.Plugin {
		tables := table.New(table.NewMemStore())
		create(t, tables, "t", "id")
		return actionstest.Plugin{Spec: table.DynamoDBv2Spec(tables), Params: json.RawMessage(`{"putItem":{"tableName":"t"},"roleArn":"arn:x"}`),
			Invalid: []json.RawMessage{json.RawMessage(`{"putItem":{"tableName":"t"}}`), json.RawMessage(`{"roleArn":"arn:x"}`),
				json.RawMessage(`{"putItem":{},"roleArn":"arn:x"}`), json.RawMessage(`{"putItem":{"tableName":""},"roleArn":"arn:x"}`)},
			Request: func(n int) *actions.Request {
				return &actions.Request{Payload: fmt.Appendf(nil, `{"id":"k%d"}`, n)}
			},
			Delivered: func() (n int) {
				for range tables.Scan(t.Context(), "t") {
					n++
				}
				return n
			}}
	})
}

func TestDynamoDBv2(t *testing.T) {
	tables := table.New(table.NewMemStore())
	create(t, tables, "readings", "thing", "at")
	a, err := table.DynamoDBv2Spec(tables).Open(t.Context(), json.RawMessage(`{"putItem":{"tableName":"${topic(1)}"},"roleArn":"arn:x"}`))
	if err != nil {
		t.Fatal(err)
	}
	do := func(topic, payload string) error {
		return a.Do(t.Context(), &actions.Request{Topic: topic, Payload: []byte(payload)})
	}
	for _, payload := range []string{`{"thing":"s1","at":5.0,"t":31,"place":{"x":[1,null]}}`, `{"thing":"s1","at":5,"t":32}`, `{"at":50e-1,"n":1,"thing":"s\u0032"}`} {
		if err := do("readings", payload); err != nil {
			t.Errorf("%s: %v", payload, err)
		}
	}
	var rows []string
	for row, err := range tables.Scan(t.Context(), "readings") {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row.Key+" "+row.Sort+" "+string(row.Item))
	}
	if want := []string{`s1 5 {"thing":"s1","at":5,"t":32}`, `s2 5 {"at":50e-1,"n":1,"thing":"s\u0032"}`}; !slices.Equal(rows, want) {
		t.Errorf("got %q, want %q", rows, want)
	}
	for _, tt := range []struct{ topic, payload, want string }{
		{"readings", `{"thing":"s1"}`, `the key "at" is missing`},
		{"readings", `{"at":1}`, `the key "thing" is missing`},
		{"readings", `{"thing":"","at":1}`, `the key "thing" is empty`},
		{"readings", `{"thing":7,"at":1}`, `the key "thing" is 7, not a STRING`},
		{"readings", `{"thing":"s1","at":"1"}`, `the key "at" is "1", not a NUMBER`},
		{"readings", `{"thing":"s1","at":null}`, `not a NUMBER`},
		{"readings", `{"thing":"s1","at":1e200}`, `out of range`},
		{"readings", `[{"thing":"s1","at":1}]`, `not a JSON object`},
		{"readings", "\xff\xfe", `not JSON`},
		{"readings", "", `not JSON`},
		{"others", `{"thing":"s1","at":1}`, `table others: schema: table: not found`},
		{"$schemas", `{"thing":"s1","at":1}`, `begins with $`},
	} {
		err := do(tt.topic, tt.payload)
		var about interface{ Resource() string }
		if err == nil || !strings.Contains(err.Error(), tt.want) || !actions.IsPermanent(err) || !errors.As(err, &about) || about.Resource() != tt.topic {
			t.Errorf("%s %s: %v, want %s", tt.topic, tt.payload, err, tt.want)
		}
	}
}

// What the action dynamoDB makes can be written by dynamoDBv2, and the other way round.
func TestDynamoDBMakesSchema(t *testing.T) {
	tables := table.New(table.NewMemStore())
	v1, err := table.DynamoDBSpec(tables).Open(t.Context(), json.RawMessage(`{"tableName":"t","hashKeyField":"thing","hashKeyValue":"${topic()}",
		"rangeKeyField":"at","rangeKeyType":"NUMBER","rangeKeyValue":"${at}","roleArn":"arn:x"}`))
	if err != nil {
		t.Fatal(err)
	}
	v2, err := table.DynamoDBv2Spec(tables).Open(t.Context(), json.RawMessage(`{"putItem":{"tableName":"t"},"roleArn":"arn:x"}`))
	if err != nil {
		t.Fatal(err)
	}
	r := &actions.Request{Topic: "s1", Payload: []byte(`{"thing":"s1","at":7}`), Source: []byte(`{"at":7}`)}
	if err := v2.Do(t.Context(), r); !actions.IsPermanent(err) {
		t.Errorf("before the table has a schema: %v", err)
	}
	if err := v1.Do(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if s, err := tables.Schema(t.Context(), "t"); err != nil || s.String() != "thing (STRING), at (NUMBER)" {
		t.Errorf("%v, %v", s, err)
	}
	if err := v2.Do(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if item, err := tables.Get(t.Context(), "t", "s1", "7"); string(item) != `{"thing":"s1","at":7}` {
		t.Errorf("%s, %v", item, err)
	}
}

func TestCreateTable(t *testing.T) {
	store := table.NewMemStore()
	tables := table.New(store)
	create(t, tables, "a", "thing", "at")
	create(t, tables, "a", "thing", "at") // again
	for _, again := range []*table.Tables{tables, table.New(store)} {
		if err := again.CreateTable(t.Context(), "a", table.Schema{HashKey: table.Attribute{Name: "thing"}}); !errors.Is(err, table.ErrExists) {
			t.Errorf("another schema: %v", err)
		}
		if s, err := again.Schema(t.Context(), "a"); err != nil || s.RangeKey.Type != table.Number || s.HashKey.Type != table.String {
			t.Errorf("%+v, %v", s, err)
		}
	}
	for _, s := range []table.Schema{
		{}, {HashKey: table.Attribute{Name: "a", Type: "BINARY"}}, {HashKey: table.Attribute{Name: "a"}, RangeKey: table.Attribute{Type: table.String}},
		{HashKey: table.Attribute{Name: "a"}, RangeKey: table.Attribute{Name: "a"}}, {HashKey: table.Attribute{Name: strings.Repeat("a", 256)}},
	} {
		if err := tables.CreateTable(t.Context(), "b", s); !errors.Is(err, table.ErrInvalid) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	create(t, tables, "c", "id")
	var names []string
	for name, err := range tables.Schemas(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if !slices.Equal(names, []string{"a", "c"}) {
		t.Errorf("tables %q", names)
	}
	if err := tables.PutItem(t.Context(), "c", []byte(`{"id":"1"}`)); err != nil {
		t.Fatal(err)
	}
	if err := tables.DeleteTable(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if _, err := tables.Get(t.Context(), "c", "1", ""); !errors.Is(err, table.ErrNotFound) {
		t.Errorf("a row of a deleted table: %v", err)
	}
	if _, err := tables.Schema(t.Context(), "c"); !errors.Is(err, table.ErrNotFound) {
		t.Errorf("the schema of a deleted table: %v", err)
	}
	create(t, tables, "c", "other")
}

// Equal numbers are equal keys, and others are not.
func FuzzNumberKey(f *testing.F) {
	tables := table.New(table.NewMemStore())
	if err := tables.CreateTable(f.Context(), "n", table.Schema{HashKey: table.Attribute{Name: "n", Type: table.Number}}); err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{"0", "-0.0e5", "5.0", "50e-1", "0.001", "-12.50", "1e125", "1e-130", "9007199254740993", "1e126", "1e-131", "1e99999999999999999999", "12345678901234567890123456789012345678", "123456789012345678901234567890123456789"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := tables.PutItem(t.Context(), "n", []byte(`{"n":`+text+`}`)); err != nil {
			return
		}
		for row, err := range tables.Scan(t.Context(), "n") {
			if err != nil {
				t.Fatal(err)
			}
			var item struct{ N json.Number }
			if err := json.Unmarshal(row.Item, &item); err != nil {
				t.Fatal(err)
			}
			want, ok1 := new(big.Rat).SetString(item.N.String())
			got, ok2 := new(big.Rat).SetString(row.Key)
			if !ok1 || !ok2 || want.Cmp(got) != 0 {
				t.Errorf("%s became %s", item.N, row.Key)
			}
			if strings.ContainsAny(row.Key, "eE+") || strings.Contains(row.Key, ".") && strings.HasSuffix(row.Key, "0") || row.Key == "-0" {
				t.Errorf("%s became %s, which is not the only way to write it", item.N, row.Key)
			}
			if err := tables.Delete(t.Context(), "n", row.Key, ""); err != nil {
				t.Fatal(err)
			}
		}
	})
}

package rulesproto

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/thingloom/thingloom/rules"
)

// readingSet is the descriptor set of
//
//	package plant;
//	message Reading { string device_id = 1; int32 value = 2; message Unit { string name = 1; } Unit unit = 3; }
func readingSet(t *testing.T) []byte {
	t.Helper()
	field := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type, of string) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Type: kind.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
		if of != "" {
			f.TypeName = &of
		}
		return f
	}
	text, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: proto.String("reading.proto"), Package: proto.String("plant"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Reading"),
			Field: []*descriptorpb.FieldDescriptorProto{
				field("device_id", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING, ""),
				field("value", 2, descriptorpb.FieldDescriptorProto_TYPE_INT32, ""),
				field("unit", 3, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".plant.Reading.Unit"),
			},
			NestedType: []*descriptorpb.DescriptorProto{{Name: proto.String("Unit"),
				Field: []*descriptorpb.FieldDescriptorProto{field("name", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING, "")}}},
		}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// folder makes files, by their names below it.
func folder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDescriptors(t *testing.T) {
	d := New(folder(t, map[string][]byte{"b/ok": readingSet(t), "b/bad": []byte("no set"), "b/big": make([]byte, maxDescriptor+1)}))
	for _, c := range []struct {
		s         rules.ProtoSchema
		data      string
		want, err string
	}{
		{rules.ProtoSchema{Bucket: "b", Key: "ok", File: "reading.proto", MessageType: "Reading"}, "\x0a\x02s1", `{"deviceId":"s1"}`, ""},
		{rules.ProtoSchema{Bucket: "b", Key: "ok", File: "reading.proto", MessageType: "plant.Reading"}, "", `{}`, ""},
		{rules.ProtoSchema{Bucket: "b", Key: "ok", File: "reading.proto", MessageType: "Reading.Unit"}, "\x0a\x01C", `{"name":"C"}`, ""},
		{rules.ProtoSchema{Bucket: "b", Key: "ok", File: "reading.proto", MessageType: "Reading"}, "\x0a\xff", "", "2 bytes as plant.Reading"},
		{rules.ProtoSchema{Bucket: "b", Key: "ok", File: "reading.proto", MessageType: "Other"}, "", "", `no message type "Other"`},
		{rules.ProtoSchema{Bucket: "b", Key: "ok", File: "reading.proto", MessageType: "Reading.value"}, "", "", "no message type"},
		{rules.ProtoSchema{Bucket: "b", Key: "ok", File: "x.proto", MessageType: "Reading"}, "", "", `no file "x.proto"`},
		{rules.ProtoSchema{Bucket: "b", Key: "bad", File: "reading.proto", MessageType: "Reading"}, "", "", "no descriptor set"},
		{rules.ProtoSchema{Bucket: "b", Key: "big", File: "reading.proto", MessageType: "Reading"}, "", "", "larger than"},
		{rules.ProtoSchema{Bucket: "..", Key: "../x", File: "reading.proto", MessageType: "Reading"}, "", "", "escapes"},
	} {
		for range 2 { // read, remembered
			got, err := d.Decode(t.Context(), []byte(c.data), c.s)
			if string(got) != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%+v %q: %s, %v", c.s, c.data, got, err)
			}
		}
	}
}

// A statement of the rule language decodes its payload.
func TestStatement(t *testing.T) {
	d := New(folder(t, map[string][]byte{"schemas/reading.desc": readingSet(t)}))
	q, err := rules.Compile("SELECT decode(*, 'proto', 'schemas', 'reading.desc', 'reading.proto', 'Reading').value AS v FROM 'raw'",
		&rules.CompileOptions{Funcs: &rules.Funcs{Proto: d.Decode}})
	if err != nil {
		t.Fatal(err)
	}
	ex := q.Explain(t.Context(), &rules.Message{Topic: "raw", Payload: []byte("\x0a\x02s1\x10\x2a")})
	if string(ex.Output) != `{"v":42}` {
		t.Errorf("%s: %s, %v", ex.Outcome, ex.Output, ex.Err)
	}
}

package rulesproto_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/thingloom/thingloom/contrib/rulesproto"
	"github.com/thingloom/thingloom/rules"
)

// An engine whose rules decode protobuf. A program that is put together as examples/full-backend, which refuses such rules
// since the module it is in does not require protobuf, sets Funcs.Proto beside its other functions and requires this module.
func Example() {
	// schemas/reading.desc is what protoc --include_imports --descriptor_set_out makes of
	//
	//	syntax = "proto3"; message Reading { string thing = 1; double temperature = 2; }
	dir, err := os.MkdirTemp("", "descriptors")
	must(err)
	defer os.RemoveAll(dir)
	must(os.Mkdir(filepath.Join(dir, "schemas"), 0o700))
	must(os.WriteFile(filepath.Join(dir, "schemas", "reading.desc"), readings(), 0o600))

	ctx := context.Background()
	show := rules.ActionFunc(func(_ context.Context, f rules.Firing) error {
		fmt.Println(f.Rule, string(f.Output))
		return nil
	})
	engine, err := rules.Open(ctx, rules.NewMemStore(), binder{show}, &rules.Options{
		Compile: &rules.CompileOptions{Funcs: &rules.Funcs{Proto: rulesproto.New(dir).Decode}},
	})
	must(err)
	defer engine.Close()
	must(engine.Put(ctx, rules.Rule{
		Name: "hot",
		SQL: `SET @reading = decode(*, 'proto', 'schemas', 'reading.desc', 'reading.proto', 'Reading')
			SELECT @reading.thing, @reading.temperature FROM 'raw/+' WHERE @reading.temperature > 30`,
		Actions: []rules.ActionSpec{{Type: "show"}},
	}))
	for _, payload := range []string{
		"\x0a\x02s1\x11\x00\x00\x00\x00\x00\x80\x3f\x40", // s1, 31.5
		"\x0a\x02s2\x11\x00\x00\x00\x00\x00\x00\x34\x40", // s2, 20
	} {
		must(engine.Handle(ctx, &rules.Message{Topic: "raw/x", Payload: []byte(payload)}))
	}
	// Output:
	// hot {"thing":"s1","temperature":31.5}
}

type binder struct{ action rules.Action }

func (b binder) Bind(context.Context, rules.ActionSpec) (rules.Action, error) { return b.action, nil }

func readings() []byte {
	field := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Type: kind.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	}
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: proto.String("reading.proto"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Reading"), Field: []*descriptorpb.FieldDescriptorProto{
			field("thing", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING), field("temperature", 2, descriptorpb.FieldDescriptorProto_TYPE_DOUBLE)}}},
	}}})
	must(err)
	return set
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

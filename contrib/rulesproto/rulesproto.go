// Package rulesproto answers decode(payload, 'proto', bucket, key, file, type) of rule SQL:
//
//	schemas := rulesproto.New("descriptors")
//	opts := &rules.CompileOptions{Funcs: &rules.Funcs{Proto: schemas.Decode}}
//
// It is put together with an engine in the example below. The folder has a serialised FileDescriptorSet of at most 32 KiB for each schema, at bucket/key, as
// protoc --include_imports --descriptor_set_out makes it. It is a module of its own, so that the core does not depend on
// protobuf.
package rulesproto

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/thingloom/thingloom/rules"
)

// Descriptors are the schemas of a folder. They may be used from many goroutines.
type Descriptors struct {
	dir string

	mu    sync.Mutex
	known map[string]descriptorSet // by bucket/key
}

type descriptorSet struct {
	files *protoregistry.Files
	until time.Time
}

const (
	maxDescriptor  = 32 << 10         // AWS limit
	maxMessage     = 128 << 10        // AWS limit
	maxDescriptors = 256              // that are remembered
	descriptorLife = 15 * time.Minute // AWS limit
)

// New returns the schemas below dir. A file is read when a message first asks for it, and anew after 15 minutes.
func New(dir string) *Descriptors { return &Descriptors{dir: dir} }

// Decode is rules.Funcs.Proto: the message as JSON in protobuf's own mapping (names in lowerCamelCase, fields that are
// not set left out). A type may be named with or without its package. An error abandons the rule's evaluation: a schema or
// type that is not there, bytes that are no such message, more than 128 KiB of either side (AWS limits).
func (d *Descriptors) Decode(_ context.Context, data []byte, s rules.ProtoSchema) (json.RawMessage, error) {
	if len(data) > maxMessage {
		return nil, fmt.Errorf("decode proto: %d bytes are more than %d", len(data), maxMessage)
	}
	files, err := d.set(path.Join(s.Bucket, s.Key))
	if err != nil {
		return nil, fmt.Errorf("decode proto: %w", err)
	}
	file, err := files.FindFileByPath(s.File)
	if err != nil {
		return nil, fmt.Errorf("decode proto: %s/%s has no file %q", s.Bucket, s.Key, s.File)
	}
	name := protoreflect.FullName(s.MessageType)
	if pkg := string(file.Package()); pkg != "" && !strings.HasPrefix(s.MessageType, pkg+".") {
		name = protoreflect.FullName(pkg + "." + s.MessageType)
	}
	found, err := files.FindDescriptorByName(name)
	if err != nil {
		return nil, fmt.Errorf("decode proto: %s has no message type %q", s.File, s.MessageType)
	}
	kind, ok := found.(protoreflect.MessageDescriptor)
	if !ok || kind.ParentFile().Path() != file.Path() {
		return nil, fmt.Errorf("decode proto: %s has no message type %q", s.File, s.MessageType)
	}
	m := dynamicpb.NewMessage(kind)
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("decode proto: %d bytes as %s: %w", len(data), name, err)
	}
	text, err := protojson.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("decode proto: %w", err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil { // protojson puts in a space now and then on purpose
		return nil, fmt.Errorf("decode proto: %w", err)
	}
	if b.Len() > maxMessage {
		return nil, fmt.Errorf("decode proto: %d bytes of JSON are more than %d", b.Len(), maxMessage)
	}
	return b.Bytes(), nil
}

// set reads a descriptor set, or remembers it.
func (d *Descriptors) set(name string) (*protoregistry.Files, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.known[name]; ok && time.Now().Before(known.until) {
		return known.files, nil
	}
	text, err := d.read(name)
	if err != nil {
		return nil, err
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("%s is no descriptor set: %w", name, err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if d.known == nil || len(d.known) >= maxDescriptors {
		d.known = map[string]descriptorSet{}
	}
	d.known[name] = descriptorSet{files, time.Now().Add(descriptorLife)}
	return files, nil
}

// read reads a file below the folder, and nowhere else.
func (d *Descriptors) read(name string) ([]byte, error) {
	f, err := os.OpenInRoot(d.dir, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxDescriptor+1))
	if err == nil && len(text) > maxDescriptor {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxDescriptor)
	}
	return text, err
}

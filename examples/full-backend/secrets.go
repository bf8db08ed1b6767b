package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// readSecret answers get_secret(id, type[, key], roleArn) from a folder with one file for each secret, named as it is.
// A SecretString is JSON if it is an object or an array; anything else is text as it is written, also what could be read as
// a number, as a password of digits can. An ARN stands for its last part, with or without the six characters that Secrets Manager puts behind a name.
func readSecret(dir, id, kind, key string) (json.RawMessage, error) {
	name := nameOf(id)
	text, err := readBelow(dir, name, 64<<10) // AWS limit
	if i := strings.LastIndexByte(name, '-'); errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(id, "arn:") && len(name)-i == 7 {
		text, err = readBelow(dir, name[:i], 64<<10)
	}
	if err != nil {
		return nil, fmt.Errorf("get_secret: %w", err)
	}
	if kind == "SecretBinary" {
		if key != "" {
			return nil, errors.New("get_secret: a key of a SecretBinary")
		}
		return json.Marshal(base64.StdEncoding.EncodeToString(text))
	}
	text = bytes.TrimSuffix(text, []byte("\n")) // of an editor
	if key == "" {
		if isContainer := bytes.IndexAny(bytes.TrimLeft(text, " \t\r\n"), "{[") == 0; isContainer && json.Valid(text) {
			return text, nil
		}
		return json.Marshal(string(text))
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, fmt.Errorf("get_secret: %s is no JSON object, and has no key %q", name, key)
	}
	return members[key], nil // nil is Undefined
}

// readBelow reads a file below dir, and nowhere else, of at most so many bytes.
func readBelow(dir, name string, most int64) ([]byte, error) {
	f, err := os.OpenInRoot(dir, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s is larger than %d bytes", name, most)
	}
	return text, err
}

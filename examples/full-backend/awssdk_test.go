package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thingloom/thingloom/internal/foreign"
)

// An awsSDK is a program with the AWS SDK for JavaScript, unmodified, that has
// the access key of a backend and sends the commands it is given.
type awsSDK struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

func (p *process) sdk() *awsSDK {
	p.t.Helper()
	dir := foreign.NeedNPM(p.t, "@aws-sdk/client-iot")
	script, err := os.ReadFile(filepath.Join("testdata", "iot.js"))
	if err != nil {
		p.t.Fatal(err)
	}
	keys, err := os.ReadFile(filepath.Join(p.data, "aws-credentials"))
	if err != nil {
		p.t.Fatal(err)
	}
	value := func(name string) string {
		_, rest, _ := strings.Cut(string(keys), name+" = ")
		first, _, _ := strings.Cut(rest, "\n")
		return first
	}
	cmd := exec.CommandContext(p.t.Context(), foreign.Need(p.t, "node"), "-e", string(script))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "ENDPOINT="+p.http, "KEY_ID="+value("aws_access_key_id"), "SECRET="+value("aws_secret_access_key"))
	cmd.Stderr = p.out
	in, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &awsSDK{p.t, in, bufio.NewReader(out)}
}

// An sdkAnswer is what the SDK made of an answer.
type sdkAnswer struct {
	Output         json.RawMessage
	Error, Message string
	Status         int
}

func (a *awsSDK) send(command, input string) (out sdkAnswer) {
	a.t.Helper()
	if input == "" {
		input = "{}"
	}
	line, err := json.Marshal(map[string]any{"command": command, "input": json.RawMessage(input)})
	if err != nil {
		a.t.Fatalf("%s %s: %v", command, input, err)
	}
	if _, err := a.in.Write(append(line, '\n')); err != nil {
		a.t.Fatal(err)
	}
	text, err := a.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		a.t.Fatalf("%s %s: %v", command, input, err)
	}
	return out
}

// ok sends a command that must succeed and have want in its answer.
func (a *awsSDK) ok(want, command, input string) json.RawMessage {
	a.t.Helper()
	out := a.send(command, input)
	if out.Error != "" || !strings.Contains(string(out.Output), want) {
		a.t.Errorf("%s %s: %s %s%s, want %s", command, input, out.Error, out.Message, out.Output, want)
	}
	return out.Output
}

// refused sends a command that must fail with that error.
func (a *awsSDK) refused(name, command, input string) {
	a.t.Helper()
	if out := a.send(command, input); out.Error != name {
		a.t.Errorf("%s %s: %q %s%s, want the error %s", command, input, out.Error, out.Message, out.Output, name)
	}
}

// indexing switches the fleet index on and waits until it is built.
func (a *awsSDK) indexing(p *process, config string) {
	a.t.Helper()
	a.ok(``, "UpdateIndexingConfiguration", `{"thingIndexingConfiguration":`+config+`}`)
	p.eventually("the index is built", func() error {
		if out := a.send("DescribeIndex", `{"indexName":"AWS_Things"}`); !strings.Contains(string(out.Output), `"ACTIVE"`) {
			return errors.New(string(out.Output))
		}
		return nil
	})
}

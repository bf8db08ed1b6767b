package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/thingloom/thingloom/contrib/benchmarks/internal/process"
)

// everydayKuiper is the everyday rule in the words of eKuiper, less the filter of topics, which a file does not have.
const everydayKuiper = "SELECT deviceId, temperature, tstamp() AS ts FROM %s WHERE temperature > 30"

// kuiper is a running eKuiper. Its engine can be had only as the whole program, since the packages of its module are
// internal; so it reads payloads from a file of its own, line after line and over and over, and gives what its rule
// makes of them, encoded, to its sink that does nothing. Between the two it decodes only the columns that the rule
// names. Nothing is dropped: who is too slow holds up who feeds it.
type kuiper struct {
	*process.Process
	dir, url string
	streams  int
}

// kuiperLines is how many payloads there are in a file.
const kuiperLines = 20_000

// startKuiper starts the program kuiperd, from the folder bin or from PATH, on loopback, with all its files in dir.
func startKuiper(bin, dir string) (*kuiper, error) {
	program, err := process.LookUp("kuiperd", bin)
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"etc/sources", "etc/connections", "data", "log", "plugins"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	var ports [3]int
	for i := range ports {
		if ports[i], err = process.FreePort(); err != nil {
			return nil, err
		}
	}
	for name, text := range map[string]string{
		"kuiper.yaml": fmt.Sprintf(`basic: {logLevel: error, consoleLog: false, fileLog: true, ip: 127.0.0.1, port: %d, restIp: 127.0.0.1, restPort: %d, pprof: false, prometheus: false}
source: {httpServerIp: 127.0.0.1, httpServerPort: %d}
store: {type: sqlite, extStateType: sqlite}
`, ports[0], ports[1], ports[2]),
		"mqtt_source.yaml":  "default: {server: \"tcp://127.0.0.1:1\"}\n", // it wants the file; nothing connects
		"sources/file.yaml": "default: {fileType: lines, path: data, interval: 1ms}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(program, "-loadFileType", "relative")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "KuiperBaseKey="+dir)
	addr := fmt.Sprintf("127.0.0.1:%d", ports[1])
	k := &kuiper{dir: dir, url: "http://" + addr}
	if k.Process, err = process.Start(cmd, addr); err != nil {
		return nil, err
	}
	return k, nil
}

// stream makes a stream of a payload and returns its name.
func (k *kuiper) stream(payload []byte) (string, error) {
	k.streams++
	name := fmt.Sprint("s", k.streams)
	lines := bytes.Repeat(append(bytes.Clone(payload), '\n'), kuiperLines)
	if err := os.WriteFile(filepath.Join(k.dir, "data", name), lines, 0o600); err != nil {
		return "", err
	}
	return name, k.post("/streams", map[string]any{
		"sql": fmt.Sprintf(`CREATE STREAM %s () WITH (TYPE="file", DATASOURCE="%s", FORMAT="JSON")`, name, name),
	})
}

// run runs the everyday rule over a stream, with that sink, while f runs.
func (k *kuiper) run(stream string, sink map[string]any, f func(rule string) error) error {
	rule := "r" + stream
	err := k.post("/rules", map[string]any{
		"id": rule, "sql": fmt.Sprintf(everydayKuiper, stream), "actions": []any{sink},
		"options": map[string]any{"disableBufferFullDiscard": true},
	})
	if err != nil {
		return err
	}
	err = f(rule)
	return errors.Join(err, k.do(http.MethodDelete, "/rules/"+rule, nil, nil))
}

// rate is how many payloads the rule takes in a second of the program's CPU time, measured for d.
func (k *kuiper) rate(d time.Duration, payload []byte) (float64, error) {
	stream, err := k.stream(payload)
	if err != nil {
		return 0, err
	}
	var rate float64
	err = k.run(stream, map[string]any{"nop": map[string]any{"sendSingle": true}}, func(rule string) error {
		before, err := k.decoded(rule)
		for begin := time.Now(); err == nil && before < 3000; before, err = k.decoded(rule) { // more than its queues hold
			if time.Since(begin) > 20*time.Second {
				return fmt.Errorf("eKuiper took %d payloads in 20 s", before)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			return err
		}
		begin, err := k.CPU()
		if err != nil {
			return err
		}
		time.Sleep(d)
		after, err := k.decoded(rule)
		if err != nil {
			return err
		}
		end, err := k.CPU()
		if err != nil {
			return err
		}
		rate = float64(after-before) / (end - begin).Seconds()
		return nil
	})
	return rate, err
}

// decoded is how many payloads a rule has decoded so far. It is an error if any went wrong.
func (k *kuiper) decoded(rule string) (int, error) {
	var status map[string]any
	if err := k.do(http.MethodGet, "/rules/"+rule+"/status", nil, &status); err != nil {
		return 0, err
	}
	n := 0
	for key, value := range status {
		count, _ := value.(float64)
		switch {
		case strings.HasSuffix(key, "_exceptions_total") && count > 0:
			return 0, fmt.Errorf("eKuiper: %s is %v: %v", key, count, status)
		case strings.Contains(key, "_decoder_") && strings.HasSuffix(key, "_messages_processed_total"):
			n = int(count)
		}
	}
	return n, nil
}

// first is the first thing that the rule makes of a payload, nil if nothing of as many as fill its queues thrice.
func (k *kuiper) first(payload []byte) ([]byte, error) {
	stream, err := k.stream(payload)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(k.dir, "out-"+stream)
	sink := map[string]any{"file": map[string]any{"path": file, "fileType": "lines", "sendSingle": true, "rollingSize": 1 << 30}}
	var n int
	err = k.run(stream, sink, func(rule string) error {
		var err error
		for begin := time.Now(); err == nil && n < 10_000; n, err = k.decoded(rule) {
			if time.Since(begin) > 20*time.Second {
				return fmt.Errorf("eKuiper took %d payloads in 20 s", n)
			}
			time.Sleep(10 * time.Millisecond)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	out, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	line, _, _ := bytes.Cut(out, []byte("\n"))
	if len(line) == 0 {
		return nil, err
	}
	return line, err
}

func (k *kuiper) post(path string, body any) error {
	return k.do(http.MethodPost, path, body, nil)
}

func (k *kuiper) do(method, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(method, k.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("eKuiper: %s %s: %s: %s", method, path, resp.Status, got)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(got, answer)
}

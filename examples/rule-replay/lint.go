package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"github.com/thingloom/thingloom/rules"
)

// maxSamples is how many payloads a statement is held against.
const maxSamples = 1000

// lint prints what cannot be meant so in the statements, held against the payloads that were captured on their topics,
// and the circles in which rules feed one another. It returns how much it found.
func lint(all []rules.Rule, capture iter.Seq2[rules.Message, error], out io.Writer) (found int, err error) {
	queries, err := compile(all)
	if err != nil {
		return 0, err
	}
	samples := make([][][]byte, len(all))
	for m, err := range capture {
		if err != nil {
			return 0, err
		}
		for i, q := range queries {
			if len(samples[i]) < maxSamples && q.query.MatchTopic(m.Topic) && isContainer(m.Payload) {
				samples[i] = append(samples[i], m.Payload)
			}
		}
	}
	for i, q := range queries {
		findings, err := rules.Lint(all[i].SQL, samples[i], &rules.CompileOptions{Version: all[i].SQLVersion})
		if err != nil {
			return found, fmt.Errorf("rule %q: %w", q.name, err)
		}
		for _, f := range findings {
			found++
			if _, err := fmt.Fprintf(out, "%s: %s: %s\n", q.name, f.Kind, f); err != nil {
				return found, err
			}
		}
	}
	for _, c := range rules.Cycles(all, nil) {
		found++
		if _, err := fmt.Fprintln(out, c); err != nil {
			return found, err
		}
	}
	_, err = fmt.Fprintf(out, "%d rules, %d findings\n", len(all), found)
	return found, err
}

// isContainer reports whether a payload has fields to be compared with: a JSON object or array.
func isContainer(payload []byte) bool {
	text := bytes.TrimLeft(payload, " \t\r\n")
	return len(text) > 0 && (text[0] == '{' || text[0] == '[') && json.Valid(text)
}

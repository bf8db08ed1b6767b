package rulestest

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/thingloom/thingloom/internal/sql"
	"github.com/thingloom/thingloom/rules"
)

// params are the parameters of an action, the texts in them with ${...} being
// templates.
type params []param

// A param is a piece of JSON, or a text to be expanded.
type param struct {
	json     string
	template *sql.Template
}

func compileParams(raw json.RawMessage, b *sql.Binding) params {
	var all params
	text := string(raw)
	done := 0
	for i := 0; i < len(text); {
		if text[i] != '"' {
			i++
			continue
		}
		end := stringEnd(text, i)
		if t := compileText(text[i:end], b); t != nil && !isName(text[end:]) {
			all = append(all, param{json: text[done:i]}, param{template: t})
			done = end
		}
		i = end
	}
	return append(all, param{json: text[done:]})
}

// stringEnd is where the JSON string ends that begins at i.
func stringEnd(text string, i int) int {
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return min(i+1, len(text))
}

// isName reports whether what follows a string makes it the name of a member.
func isName(rest string) bool {
	return strings.HasPrefix(strings.TrimLeft(rest, " \t\r\n"), ":")
}

func compileText(quoted string, b *sql.Binding) *sql.Template {
	var s string
	if json.Unmarshal([]byte(quoted), &s) != nil || !strings.Contains(s, "${") {
		return nil
	}
	t, err := b.Compile(s)
	if err != nil {
		return nil // stays as it is written
	}
	return t
}

func (p params) expand(ctx context.Context, f rules.Firing) string {
	if len(p) == 1 {
		return p[0].json
	}
	in := &sql.Input{Payload: f.Message.Payload, Topic: f.Message.Topic, ClientID: f.Message.ClientID,
		Principal: f.Message.Principal, SourceIP: f.Message.SourceIP, TraceID: f.Message.TraceID, Time: f.Message.Time}
	for _, v := range f.Variables {
		if v.Value == nil {
			continue // Undefined, as a name without a value is
		}
		if value, err := sql.ParseValue(v.Value); err == nil {
			in.Variables = append(in.Variables, sql.Variable{Name: v.Name, Value: value})
		}
	}
	var out strings.Builder
	for _, piece := range p {
		if piece.template == nil {
			out.WriteString(piece.json)
			continue
		}
		text, err := piece.template.Expand(ctx, in)
		if err != nil {
			text = "(failed: " + err.Error() + ")"
		}
		quoted, _ := json.Marshal(text) // a string always marshals
		out.Write(quoted)
	}
	return out.String()
}

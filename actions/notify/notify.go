// Package notify is the action plugin "notify": a push notification through a
// server that speaks ntfy's JSON publishing, or any webhook that takes such an
// object.
//
//	{"notify": {"title": "${topic(2)} is hot", "message": "${temperature} degrees", "priority": 4}}
//
// One request is a POST of
//
//	{"topic": "alerts", "title": "...", "message": "...", "priority": 4, "tags": ["warning"], "click": "..."}
//
// with absent members left out. SNSSpec is the action sns of AWS IoT, over the
// same server or topics of the program's own.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/thingloom/thingloom/actions"
)

// Options are the optional parts of the plugin. A nil *Options is all defaults.
type Options struct {
	// Client sends the requests. Nil means a client of the plugin's own that
	// follows no redirect: a notification does not go where nobody said.
	Client *http.Client
	// URL is the server for actions that name none, with the topic as the
	// last element of its path: "https://ntfy.example/alerts".
	URL string
	// Token is sent as bearer authorization if it is not empty.
	Token string
}

// Params are the parameters of the action.
type Params struct {
	URL      string           `json:"url" doc:"server and topic, such as https://ntfy.example/alerts; by default the program's own"`
	Title    actions.Template `json:"title" doc:"title of the notification"`
	Message  actions.Template `json:"message" required:"true" doc:"text of the notification"`
	Priority int              `json:"priority" doc:"1 (min) to 5 (max); 3 by default"`
	Tags     []string         `json:"tags" doc:"tags or emoji names"`
	Click    actions.Template `json:"click" doc:"URL that opens when the notification is tapped"`
}

// A notification is the object that is sent.
type notification struct {
	Topic    string   `json:"topic"`
	Title    string   `json:"title,omitempty"`
	Message  string   `json:"message"`
	Priority int      `json:"priority,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	Click    string   `json:"click,omitempty"`
}

// maxAnswer is how much of an answer is read: enough for the reason of a
// refusal, and for a connection to be used again.
const maxAnswer = 16 << 10

func (o *Options) withDefaults() Options {
	var r Options
	if o != nil {
		r = *o
	}
	if r.Client == nil {
		r.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return r
}

// Spec returns the plugin.
func Spec(opts *Options) actions.Spec {
	o := opts.withDefaults()
	return actions.NewSpec("notify", "send a push notification", func(_ context.Context, p *Params) (actions.Action, error) {
		if p.Priority < 0 || p.Priority > 5 {
			return nil, &actions.ParamError{Path: "priority", Err: fmt.Errorf("%d is not in 1 to 5", p.Priority)}
		}
		target := p.URL
		if target == "" {
			target = o.URL
		}
		server, topic, err := split(target)
		if err != nil {
			return nil, &actions.ParamError{Path: "url", Err: err}
		}
		return &action{options: o, params: p, server: server, topic: topic}, nil
	})
}

// split takes the topic off the end of a URL.
func split(target string) (server, topic string, err error) {
	u, err := url.Parse(target)
	if err != nil {
		return "", "", err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", "", fmt.Errorf("%q is no http or https URL", target)
	}
	path := strings.TrimSuffix(u.Path, "/")
	cut := strings.LastIndexByte(path, '/')
	if cut < 0 || path[cut+1:] == "" {
		return "", "", fmt.Errorf("%q has no topic after the server", target)
	}
	topic = path[cut+1:]
	u.Path = path[:cut+1]
	return u.String(), topic, nil
}

type action struct {
	options       Options
	params        *Params
	server, topic string
}

var _ actions.Action = (*action)(nil)

func (a *action) Do(ctx context.Context, r *actions.Request) error {
	title, err1 := a.params.Title.Expand(ctx, r)
	message, err2 := a.params.Message.Expand(ctx, r)
	click, err3 := a.params.Click.Expand(ctx, r)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if message == "" {
		return actions.Permanent(errors.New("notify: the message is empty after substitution"))
	}
	err := a.options.post(ctx, a.server, r.ID, notification{a.topic, title, message, a.params.Priority, a.params.Tags, click})
	return actions.WithResource(err, a.server+a.topic)
}

// post sends a notification to a server. id is the same for every attempt, for
// servers that drop repetitions.
func (o *Options) post(ctx context.Context, server, id string, n notification) error {
	body, err := json.Marshal(n)
	if err != nil {
		return actions.Permanent(err)
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, server, bytes.NewReader(body))
	if err != nil {
		return actions.Permanent(err)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("X-Request-Id", id)
	if o.Token != "" {
		q.Header.Set("Authorization", "Bearer "+o.Token)
	}
	answer, err := o.Client.Do(q)
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	return actions.HTTPError("notify", answer, text)
}

package brokerhttp

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/internal/awshttp"
)

// A retainedMessage is the answer of GetRetainedMessage. Bytes become base64.
type retainedMessage struct {
	Topic            string `json:"topic"`
	Payload          []byte `json:"payload"`
	QoS              byte   `json:"qos"`
	LastModifiedTime int64  `json:"lastModifiedTime"` // milliseconds since 1970
	UserProperties   []byte `json:"userProperties,omitempty"`
}

// A retainedTopic is one line of ListRetainedMessages.
type retainedTopic struct {
	Topic            string `json:"topic"`
	PayloadSize      int    `json:"payloadSize"`
	QoS              byte   `json:"qos"`
	LastModifiedTime int64  `json:"lastModifiedTime"` // milliseconds since 1970
}

type retainedList struct {
	Topics    []retainedTopic `json:"retainedTopics"`
	NextToken string          `json:"nextToken,omitempty"`
}

func (h *Handler) retained(r *http.Request, escaped string) (any, error) {
	topic, err := topicName(escaped)
	if err != nil {
		return nil, err
	}
	if _, err := h.opts.Authorize(r, Access{Action: ActionGetRetained, Topic: topic}); err != nil {
		return nil, err
	}
	for m, err := range h.broker.Retained(r.Context(), topic) {
		if err != nil {
			return nil, err
		}
		if h.expired(&m) {
			break
		}
		return retainedMessage{
			Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, LastModifiedTime: m.Time.UnixMilli(),
			UserProperties: encodeUser(m.Properties.User),
		}, nil
	}
	return nil, fmt.Errorf("topic %q: %w", topic, ErrNotFound)
}

const maxResults = 200

// list answers a page of topics in their order. The token names the last topic
// of the page before, so that what comes and goes in between does no harm.
func (h *Handler) list(r *http.Request) (any, error) {
	if _, err := h.opts.Authorize(r, Access{Action: ActionListRetained}); err != nil {
		return nil, err
	}
	query := r.URL.Query()
	limit, after, err := pageOf("ListRetainedMessages", query)
	if err != nil {
		return nil, err
	}
	page := retainedList{Topics: []retainedTopic{}}
	for m, err := range h.broker.Retained(r.Context(), "#") {
		if err != nil {
			return nil, err
		}
		if m.Topic <= after || h.expired(&m) {
			continue
		}
		if len(page.Topics) == limit {
			page.NextToken = awshttp.SealToken("ListRetainedMessages", page.Topics[limit-1].Topic)
			break
		}
		page.Topics = append(page.Topics, retainedTopic{m.Topic, len(m.Payload), m.QoS, m.Time.UnixMilli()})
	}
	return page, nil
}

// pageOf is what a list is asked for: how many, and behind which.
func pageOf(list string, query url.Values) (limit int, after string, err error) {
	limit = maxResults
	if v := query.Get("maxResults"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxResults {
			return 0, "", wrongParameter("maxResults", fmt.Sprintf("%q is not a number from 1 to %d", v, maxResults))
		}
		limit = n
	}
	after, ok := awshttp.OpenToken(list, query.Get("nextToken"))
	if !ok {
		return 0, "", wrongParameter("nextToken", "not a token of this service")
	}
	return limit, after, nil
}

func (h *Handler) expired(m *broker.Message) bool {
	e := m.Properties.Expiry
	return e > 0 && h.opts.Now().Sub(m.Time) >= e.Truncate(time.Second)
}

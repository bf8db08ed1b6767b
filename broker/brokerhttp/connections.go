package brokerhttp

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/internal/awshttp"
)

// A connection is the answer of GetConnection. Times are milliseconds since 1970.
type connection struct {
	Connected         bool   `json:"connected"`
	ClientID          string `json:"clientId"`
	ThingName         string `json:"thingName,omitempty"`
	CleanSession      bool   `json:"cleanSession"`
	SessionExpiry     int64  `json:"sessionExpiry"`     // seconds
	KeepAliveDuration int64  `json:"keepAliveDuration"` // seconds
	ConnectedSince    int64  `json:"connectedSince,omitempty"`
	DisconnectedSince int64  `json:"disconnectedSince,omitempty"`
	DisconnectReason  string `json:"disconnectReason,omitempty"`
	*socket
}

// A socket is what includeSocketInformation=true adds.
type socket struct {
	SourceIP   string `json:"sourceIp,omitempty"`
	SourcePort int    `json:"sourcePort,omitempty"`
}

// A subscription is one line of ListSubscriptions.
type subscription struct {
	TopicFilter string `json:"topicFilter"`
	QoS         byte   `json:"qos"`
}

type subscriptionList struct {
	Subscriptions []subscription `json:"subscriptions"`
	NextToken     string         `json:"nextToken,omitempty"`
}

// connection serves what is below /connections/.
func (h *Handler) connection(w http.ResponseWriter, r *http.Request, rest string) (any, error) {
	all, ok := h.broker.(Connections)
	if !ok {
		return nil, fmt.Errorf("path %q: %w", r.URL.EscapedPath(), ErrNotFound)
	}
	escaped, below, nested := strings.Cut(rest, "/")
	id, err := url.PathUnescape(escaped)
	switch {
	case err != nil:
		return nil, &RequestError{"client id", err.Error()}
	case id == "":
		return nil, &RequestError{"client id", "empty"}
	case nested && below == "messages":
		return nil, fmt.Errorf("%w: SendDirectMessage", errNotImplemented)
	case nested && below != "subscriptions":
		return nil, fmt.Errorf("path %q: %w", r.URL.EscapedPath(), ErrNotFound)
	case nested:
		if err := method(w, r, http.MethodGet); err != nil {
			return nil, err
		}
		return h.subscriptions(r, all, id)
	}
	if err := method(w, r, http.MethodGet, http.MethodDelete); err != nil {
		return nil, err
	}
	if r.Method == http.MethodDelete {
		return struct{}{}, h.disconnect(r, all, id)
	}
	return h.describe(r, all, id)
}

func (h *Handler) describe(r *http.Request, all Connections, id string) (any, error) {
	if _, err := h.opts.Authorize(r, Access{Action: ActionGetConnection, ClientID: id}); err != nil {
		return nil, err
	}
	withSocket, err := boolean(r.URL.Query(), "includeSocketInformation")
	if err != nil {
		return nil, err
	}
	info, err := all.Client(id)
	if err != nil {
		return nil, err
	}
	c := connection{Connected: info.Connected, ClientID: info.ClientID, CleanSession: info.CleanStart,
		SessionExpiry: int64(info.Expiry / time.Second), KeepAliveDuration: int64(info.KeepAlive / time.Second),
		DisconnectReason: string(info.DisconnectReason)}
	if !info.ConnectedAt.IsZero() && info.Connected {
		c.ConnectedSince = info.ConnectedAt.UnixMilli()
	}
	if !info.DisconnectedAt.IsZero() {
		c.DisconnectedSince = info.DisconnectedAt.UnixMilli()
	}
	if h.opts.Thing != nil {
		c.ThingName = h.opts.Thing(info)
	}
	if withSocket && info.Connected {
		c.socket = socketOf(info)
	}
	return c, nil
}

func socketOf(info broker.ClientInfo) *socket {
	host, port, err := net.SplitHostPort(info.RemoteAddr)
	if err != nil {
		return &socket{}
	}
	n, _ := strconv.Atoi(port) // a name of a port is none of a client
	return &socket{host, n}
}

func (h *Handler) disconnect(r *http.Request, all Connections, id string) error {
	if _, err := h.opts.Authorize(r, Access{Action: ActionDeleteConnection, ClientID: id}); err != nil {
		return err
	}
	query := r.URL.Query()
	clean, err := boolean(query, "cleanSession")
	noWill, err2 := boolean(query, "preventWillMessage")
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	return all.Disconnect(id, broker.DisconnectOptions{Reason: broker.APIInitiatedDisconnect, NoWill: noWill, EndSession: clean})
}

// subscriptions answers a page in the order of the filters.
func (h *Handler) subscriptions(r *http.Request, all Connections, id string) (any, error) {
	if _, err := h.opts.Authorize(r, Access{Action: ActionListSubscriptions, ClientID: id}); err != nil {
		return nil, err
	}
	list := "ListSubscriptions " + id
	limit, after, err := pageOf(list, r.URL.Query())
	if err != nil {
		return nil, err
	}
	subs, err := all.Subscriptions(id)
	if err != nil {
		return nil, err
	}
	page := subscriptionList{Subscriptions: []subscription{}}
	for _, s := range subs {
		if s.Filter <= after {
			continue
		}
		if len(page.Subscriptions) == limit {
			page.NextToken = awshttp.SealToken(list, page.Subscriptions[limit-1].TopicFilter)
			break
		}
		page.Subscriptions = append(page.Subscriptions, subscription{s.Filter, s.QoS})
	}
	return page, nil
}

// boolean is a query parameter that is true, false or absent.
func boolean(query url.Values, name string) (bool, error) {
	switch v := query.Get(name); v {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, wrongParameter(name, fmt.Sprintf("%q is neither true nor false", v))
	}
}

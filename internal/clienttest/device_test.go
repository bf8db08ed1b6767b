package clienttest

import (
	"testing"
	"time"
)

// A device is one connection of a foreign client, as the features of the matrix use it. What goes wrong ends the test.
type device interface {
	// subscribe returns the codes of the SUBACK. An identifier of 0 is none.
	subscribe(t *testing.T, identifier int, filters ...filter) []int
	unsubscribe(t *testing.T, filter string)
	// publish returns the code of the acknowledgement, 0 where the client does not tell.
	publish(t *testing.T, m message) int
	leave(t *testing.T) // with a DISCONNECT
	kill(t *testing.T)  // without
	box() *inbox
}

// A message is what is published, or was received; the zero of what is not there.
type message struct {
	Topic         string      `json:"topic"`
	Payload       string      `json:"payload"`
	QoS           byte        `json:"qos"`
	Retain        bool        `json:"retain"`
	ContentType   string      `json:"contentType,omitempty"`
	ResponseTopic string      `json:"responseTopic,omitempty"`
	Correlation   string      `json:"correlation,omitempty"`
	User          [][2]string `json:"user,omitempty"`
	Expiry        int         `json:"expiry,omitempty"` // seconds
	Text          jsonByte    `json:"text,omitempty"`   // the payload format
	Identifiers   []int       `json:"identifiers,omitempty"`
	Alias         int         `json:"alias,omitempty"`
}

// A jsonByte is a number or a bool in JSON: libraries do not agree.
type jsonByte int

func (b *jsonByte) UnmarshalJSON(text []byte) error {
	if s := string(text); s == "true" || s == "1" {
		*b = 1
	}
	return nil
}

type filter struct {
	Filter            string `json:"filter"`
	QoS               byte   `json:"qos"`
	NoLocal           bool   `json:"noLocal"`
	RetainAsPublished bool   `json:"retainAsPublished"`
	RetainHandling    byte   `json:"retainHandling"`
}

// A connection is what a device connects with.
type connection struct {
	ClientID          string `json:"clientID"`
	Version           byte   `json:"version"`
	Address           string `json:"address"`
	Clean             bool   `json:"clean"`
	Username          string `json:"username,omitempty"`
	Password          string `json:"password,omitempty"`
	SessionExpiry     int    `json:"sessionExpiry,omitempty"` // seconds
	ReceiveMaximum    int    `json:"receiveMaximum,omitempty"`
	MaximumPacketSize int    `json:"maximumPacketSize,omitempty"`
	TopicAliasMaximum int    `json:"topicAliasMaximum,omitempty"`
	Will              *will  `json:"will,omitempty"`
}

type will struct {
	Topic   string `json:"topic"`
	Payload string `json:"payload"`
	QoS     byte   `json:"qos"`
	Retain  bool   `json:"retain"`
	Delay   int    `json:"delay,omitempty"` // seconds
}

// A connack is what a client tells of its CONNACK.
type connack struct {
	Code     int    `json:"code"`
	Present  *bool  `json:"present"` // nil where it does not tell
	Assigned string `json:"assigned"`
}

// An inbox has what a device has received and not yet looked at.
type inbox struct {
	messages chan message
	closed   chan int // the reason code of the server's DISCONNECT, or 0
}

func newInbox() *inbox { return &inbox{make(chan message, 1000), make(chan int, 10)} }

const patience = 20 * time.Second

func (b *inbox) next(t *testing.T, n int) []message {
	t.Helper()
	var got []message
	limit := time.After(patience)
	for len(got) < n {
		select {
		case m := <-b.messages:
			got = append(got, m)
		case <-limit:
			t.Fatalf("%d messages, want %d: %+v", len(got), n, got)
		}
	}
	return got
}

func (b *inbox) close(t *testing.T) int {
	t.Helper()
	select {
	case code := <-b.closed:
		return code
	case <-time.After(patience):
		t.Fatal("the connection was not closed")
		return 0
	}
}

package brokertest

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/thingloom/thingloom/broker"
)

// sameMessage tells in what got differs from want. Times need only be the same
// instant; of an absent and an empty payload neither says more.
func sameMessage(got, want broker.Message) error {
	gp, wp := got.Properties, want.Properties
	for _, f := range []struct {
		name      string
		got, want any
		same      bool
	}{
		{"Topic", got.Topic, want.Topic, got.Topic == want.Topic},
		{"ClientID", got.ClientID, want.ClientID, got.ClientID == want.ClientID},
		{"Principal", got.Principal, want.Principal, got.Principal == want.Principal},
		{"Payload", got.Payload, want.Payload, bytes.Equal(got.Payload, want.Payload)},
		{"QoS", got.QoS, want.QoS, got.QoS == want.QoS},
		{"Retain", got.Retain, want.Retain, got.Retain == want.Retain},
		{"Time", got.Time, want.Time, got.Time.Equal(want.Time)},
		{"PayloadFormat", deref(gp.PayloadFormat), deref(wp.PayloadFormat), deref(gp.PayloadFormat) == deref(wp.PayloadFormat)},
		{"Expiry", gp.Expiry, wp.Expiry, gp.Expiry == wp.Expiry},
		{"ContentType", gp.ContentType, wp.ContentType, gp.ContentType == wp.ContentType},
		{"ResponseTopic", gp.ResponseTopic, wp.ResponseTopic, gp.ResponseTopic == wp.ResponseTopic},
		{"CorrelationData", gp.CorrelationData, wp.CorrelationData,
			bytes.Equal(gp.CorrelationData, wp.CorrelationData) && (gp.CorrelationData == nil) == (wp.CorrelationData == nil)},
		{"User", gp.User, wp.User, slices.Equal(gp.User, wp.User)},
	} {
		if !f.same {
			return fmt.Errorf("message to %q: %s is %#v, want %#v", want.Topic, f.name, f.got, f.want)
		}
	}
	return nil
}

func deref(b *byte) int {
	if b == nil {
		return -1
	}
	return int(*b)
}

func sameSession(got, want broker.Session) error {
	for _, f := range []struct {
		name      string
		got, want any
		same      bool
	}{
		{"ClientID", got.ClientID, want.ClientID, got.ClientID == want.ClientID},
		{"Principal", got.Principal, want.Principal, got.Principal == want.Principal},
		{"Version", got.Version, want.Version, got.Version == want.Version},
		{"Expiry", got.Expiry, want.Expiry, got.Expiry == want.Expiry},
		{"Disconnected", got.Disconnected, want.Disconnected, got.Disconnected.Equal(want.Disconnected) && got.Disconnected.IsZero() == want.Disconnected.IsZero()},
		{"Subscriptions", got.Subscriptions, want.Subscriptions, slices.Equal(got.Subscriptions, want.Subscriptions)},
		{"Will", got.Will, want.Will, (got.Will == nil) == (want.Will == nil)},
	} {
		if !f.same {
			return fmt.Errorf("session %q: %s is %#v, want %#v", want.ClientID, f.name, f.got, f.want)
		}
	}
	if want.Will == nil {
		return nil
	}
	if !got.Will.Due.Equal(want.Will.Due) {
		return fmt.Errorf("session %q: Will.Due is %v, want %v", want.ClientID, got.Will.Due, want.Will.Due)
	}
	if got.Will.Delay != want.Will.Delay {
		return fmt.Errorf("session %q: Will.Delay is %v, want %v", want.ClientID, got.Will.Delay, want.Will.Delay)
	}
	if got.Will.Thing != want.Will.Thing || got.Will.OwnAuthorizer != want.Will.OwnAuthorizer || got.Will.Message.SourceIP != want.Will.Message.SourceIP {
		return fmt.Errorf("session %q: Will is of thing %q, own authorizer %v, from %q, want %q, %v, %q", want.ClientID, got.Will.Thing, got.Will.OwnAuthorizer,
			got.Will.Message.SourceIP, want.Will.Thing, want.Will.OwnAuthorizer, want.Will.Message.SourceIP)
	}
	if err := sameMessage(got.Will.Message, want.Will.Message); err != nil {
		return fmt.Errorf("session %q: will: %w", want.ClientID, err)
	}
	return nil
}

// fullMessage has every field set.
func fullMessage() broker.Message {
	utf8 := byte(1)
	return broker.Message{
		Topic: "a/b", ClientID: "c-1", Principal: "cert/0123", Payload: []byte("\x00\xffpayload"),
		QoS: 2, Retain: true, Time: someTime,
		Properties: broker.Properties{
			PayloadFormat: &utf8, Expiry: 3600e9, ContentType: "text/plain", ResponseTopic: "r/t",
			CorrelationData: []byte{0, 1, 2},
			User:            []broker.UserProperty{{Name: "k", Value: "v"}, {Name: "k", Value: "w"}, {Name: "", Value: ""}},
		},
	}
}

// fullSession has every field set.
func fullSession(client string) broker.Session {
	return broker.Session{
		ClientID: client, Principal: "cert/0123", Version: 5, Expiry: 3600e9, Disconnected: someTime,
		Subscriptions: []broker.Subscription{
			{Filter: "#", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2, Identifier: 268435455},
			{Filter: "$share/g/a/+"},
			{Filter: "é/+", QoS: 1, RetainHandling: 1},
		},
		Will: fullWill(),
	}
}

func fullWill() *broker.PendingWill {
	m := fullMessage()
	m.SourceIP = "192.0.2.1"
	return &broker.PendingWill{Message: m, Due: someTime.Add(60e9), Delay: 60e9, Thing: "lamp", OwnAuthorizer: true}
}

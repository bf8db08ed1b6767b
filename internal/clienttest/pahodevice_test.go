package clienttest

import (
	"net"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// A pahoDevice is a device on paho.golang.
type pahoDevice struct {
	*paho.Client
	conn net.Conn
	in   *inbox
}

func pointer[T any](v T) *T { return &v }

func connectPaho(t *testing.T, c connection) (device, connack) {
	t.Helper()
	conn, err := net.Dial("tcp", c.Address)
	check(t, err)
	one := &pahoDevice{conn: conn, in: newInbox()}
	one.Client = paho.NewClient(paho.ClientConfig{
		Conn: packets.NewThreadSafeConn(conn),
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
			one.in.messages <- pahoMessage(r.Packet)
			return true, nil
		}},
		OnServerDisconnect: func(d *paho.Disconnect) { one.in.closed <- int(d.ReasonCode) },
	})
	cp := &paho.Connect{ClientID: c.ClientID, CleanStart: c.Clean, KeepAlive: 60, Username: c.Username, UsernameFlag: c.Username != "",
		Password: []byte(c.Password), PasswordFlag: c.Password != "",
		Properties: &paho.ConnectProperties{SessionExpiryInterval: pointer(uint32(c.SessionExpiry))}}
	for _, limit := range []struct {
		to    **uint16
		value int
	}{{&cp.Properties.ReceiveMaximum, c.ReceiveMaximum}, {&cp.Properties.TopicAliasMaximum, c.TopicAliasMaximum}} {
		if limit.value > 0 {
			*limit.to = pointer(uint16(limit.value))
		}
	}
	if c.MaximumPacketSize > 0 {
		cp.Properties.MaximumPacketSize = pointer(uint32(c.MaximumPacketSize))
	}
	if w := c.Will; w != nil {
		cp.WillMessage = &paho.WillMessage{Topic: w.Topic, Payload: []byte(w.Payload), QoS: w.QoS, Retain: w.Retain}
		cp.WillProperties = &paho.WillProperties{WillDelayInterval: pointer(uint32(w.Delay))}
	}
	ack, err := one.Connect(t.Context(), cp)
	if ack == nil {
		t.Fatal(err)
	}
	got := connack{Code: int(ack.ReasonCode), Present: &ack.SessionPresent}
	if ack.Properties != nil {
		got.Assigned = ack.Properties.AssignedClientID
	}
	t.Cleanup(func() { conn.Close() })
	return one, got
}

func pahoMessage(p *paho.Publish) message {
	m := message{Topic: p.Topic, Payload: string(p.Payload), QoS: p.QoS, Retain: p.Retain}
	if r := p.Properties; r != nil {
		m.ContentType, m.ResponseTopic, m.Correlation = r.ContentType, r.ResponseTopic, string(r.CorrelationData)
		for _, u := range r.User {
			m.User = append(m.User, [2]string{u.Key, u.Value})
		}
		if r.MessageExpiry != nil {
			m.Expiry = int(*r.MessageExpiry)
		}
		if r.PayloadFormat != nil {
			m.Text = jsonByte(*r.PayloadFormat)
		}
		if r.SubscriptionIdentifier != nil {
			m.Identifiers = []int{*r.SubscriptionIdentifier}
		}
		if r.TopicAlias != nil {
			m.Alias = int(*r.TopicAlias)
		}
	}
	return m
}

func (one *pahoDevice) box() *inbox { return one.in }

func (one *pahoDevice) subscribe(t *testing.T, identifier int, filters ...filter) (codes []int) {
	t.Helper()
	s := &paho.Subscribe{}
	for _, f := range filters {
		s.Subscriptions = append(s.Subscriptions, paho.SubscribeOptions{Topic: f.Filter, QoS: f.QoS, NoLocal: f.NoLocal,
			RetainAsPublished: f.RetainAsPublished, RetainHandling: f.RetainHandling})
	}
	if identifier > 0 {
		s.Properties = &paho.SubscribeProperties{SubscriptionIdentifier: &identifier}
	}
	ack, err := one.Subscribe(t.Context(), s)
	if ack == nil {
		t.Fatal(err)
	}
	for _, code := range ack.Reasons {
		codes = append(codes, int(code))
	}
	return codes
}

func (one *pahoDevice) unsubscribe(t *testing.T, filter string) {
	t.Helper()
	_, err := one.Unsubscribe(t.Context(), &paho.Unsubscribe{Topics: []string{filter}})
	check(t, err)
}

func (one *pahoDevice) publish(t *testing.T, m message) int {
	t.Helper()
	p := &paho.Publish{Topic: m.Topic, Payload: []byte(m.Payload), QoS: m.QoS, Retain: m.Retain,
		Properties: &paho.PublishProperties{ContentType: m.ContentType, ResponseTopic: m.ResponseTopic, CorrelationData: []byte(m.Correlation)}}
	for _, u := range m.User {
		p.Properties.User.Add(u[0], u[1])
	}
	if m.Expiry > 0 {
		p.Properties.MessageExpiry = pointer(uint32(m.Expiry))
	}
	if m.Text > 0 {
		p.Properties.PayloadFormat = pointer(byte(m.Text))
	}
	if m.Alias > 0 {
		p.Properties.TopicAlias = pointer(uint16(m.Alias))
	}
	ack, err := one.Publish(t.Context(), p)
	if ack == nil {
		check(t, err)
		return 0
	}
	return int(ack.ReasonCode)
}

func (one *pahoDevice) leave(t *testing.T) {
	t.Helper()
	check(t, one.Disconnect(&paho.Disconnect{}))
}

func (one *pahoDevice) kill(t *testing.T) { one.conn.Close() }

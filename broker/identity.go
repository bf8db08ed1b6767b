package broker

import (
	"net"
	"time"

	"github.com/thingloom/thingloom/internal/uuid"
)

// An identity is what is known of one connection, as a connection at rest keeps it: [ClientInfo] without what
// is the session's, and with the texts that few ask for still to be made.
type identity struct {
	ClientID, Principal, Thing string
	RemoteAddr, SourceIP       string // the second is mostly a part of the first
	SessionID                  uuid.UUID
	KeepAlive, Expiry          time.Duration
	ConnectedAt                time.Time
	Connections                uint64
	Version                    byte
	CleanStart, Connected      bool
	persistent, lastWill       bool // what the CONNECT asked for; see connectAttributes
}

// describe is i as others see it.
func (i *identity) describe() ClientInfo {
	return ClientInfo{ClientID: i.ClientID, Principal: i.Principal, Thing: i.Thing, SessionID: i.SessionID.String(), Version: i.Version,
		RemoteAddr: i.RemoteAddr, CleanStart: i.CleanStart, KeepAlive: i.KeepAlive, Expiry: i.Expiry,
		Connected: i.Connected, ConnectedAt: i.ConnectedAt, Connections: i.Connections}
}

// access is action on resource, asked for by this connection.
func (i *identity) access(action, resource string) Access {
	return Access{Principal: i.Principal, ClientID: i.ClientID, Thing: i.Thing, SourceIP: i.SourceIP,
		ConnectAttributes: connectAttributes(i.persistent, i.lastWill), Action: action, Resource: resource}
}

// setAddr notes the peer's address.
func (i *identity) setAddr(nc net.Conn) {
	i.RemoteAddr = addrOf(nc)
	i.SourceIP = ipOfText(i.RemoteAddr)
}

func addrOf(nc net.Conn) string {
	if a := nc.RemoteAddr(); a != nil {
		return a.String()
	}
	return ""
}

// ipOfText is the address without port and zone, empty if it is none. It shares the memory of addr where it can.
func ipOfText(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip := net.ParseIP(host)
	if ip == nil {
		return ""
	}
	if text := ip.String(); text != host {
		return text
	}
	return host
}

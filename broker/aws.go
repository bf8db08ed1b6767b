package broker

import "time"

// AWSProfile returns Options with the limits and deviations from the standard of AWS IoT's
// device gateway, for devices that are to find here what they find there. The
// Authenticator and the Authorizer are the caller's to set, and every limit may be changed.
//
// Beside the numbers: `sensor/#` does not match `sensor`, retained messages come for exact filters alone,
// subscription identifiers are refused, topics that begin with '$' are for what the service has them
// for, and lifecycle events are published. Limits of an account as a whole, such as its
// number of connections, are not set: the machine is yours.
func AWSProfile() *Options {
	return &Options{
		MaxPacketBytes:            149_504, // the payload, and room for topic and properties
		MaxPayloadBytes:           128 << 10,
		MaxClientIDBytes:          128,
		RefuseDollarClientIDs:     true,
		MinKeepAlive:              30 * time.Second,
		MaxKeepAlive:              1200 * time.Second,
		MaxSessionExpiry:          time.Hour,
		SessionExpiry:             time.Hour,
		MaxQoS:                    1,
		ReceiveMaximum:            100,
		MaxInflight:               100,
		TopicAliasMaximum:         8,
		OutboundAliases:           8,
		MaxTopicBytes:             256,
		MaxTopicLevels:            8, // seven slashes
		MaxFilters:                8,
		MaxSubscriptions:          50,
		NoSubscriptionIdentifiers: true,
		HashBelow:                 true,
		RetainedExactOnly:         true,
		ReservedTopics:            true,
		CloseFrameDiscardsWill:    true,
		MaxMessageExpiry:          7 * day,
		MaxPublishRate:            100,
		MaxDeliverRate:            100,
		MaxResendRate:             10,
		MaxByteRate:               512 << 10,
		ConnectInterval:           time.Second,
		MaxQueueAge:               time.Hour,
		LifecycleEvents:           true,
	}
}

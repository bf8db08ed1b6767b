package broker

import (
	"fmt"
	"strings"

	"github.com/thingloom/thingloom/internal/topic"
)

// What Options.ReservedTopics leaves open to clients: the reserved topics of the AWS
// IoT contract.
var (
	reservedPublish = []string{
		"$aws/things/+/shadow/get", "$aws/things/+/shadow/update", "$aws/things/+/shadow/delete",
		"$aws/things/+/shadow/name/+/get", "$aws/things/+/shadow/name/+/update", "$aws/things/+/shadow/name/+/delete",
		"$aws/things/+/jobs/get", "$aws/things/+/jobs/start-next", "$aws/things/+/jobs/+/get", "$aws/things/+/jobs/+/update",
		"$aws/things/+/jobs/+/+/get", "$aws/things/+/jobs/+/+/update", // of a namespace
		"$aws/things/+/defender/metrics/json", "$aws/things/+/defender/metrics/cbor",
		"$aws/things/+/streams/+/get/json", "$aws/things/+/streams/+/get/cbor",
		"$aws/things/+/streams/+/describe/json", "$aws/things/+/streams/+/describe/cbor",
		"$aws/certificates/create/json", "$aws/certificates/create/cbor",
		"$aws/certificates/create-from-csr/json", "$aws/certificates/create-from-csr/cbor",
		"$aws/provisioning-templates/+/provision/json", "$aws/provisioning-templates/+/provision/cbor",
		"$aws/rules/+", "$aws/rules/+/#",
	}
	reservedSubscribe = []string{
		"$aws/things/+/shadow/#", "$aws/things/+/jobs/#", "$aws/things/+/defender/metrics/#",
		"$aws/things/+/streams/#", "$aws/things/+/tunnels/notify",
		"$aws/certificates/create/#", "$aws/certificates/create-from-csr/#", "$aws/provisioning-templates/+/provision/#",
		"$aws/events/#", "$SYS/#",
	}
)

// basicIngest begins the topics that go to one rule alone: $aws/rules/{rule}/...
const basicIngest = "$aws/rules/"

// ownTopic reports whether a topic is the broker's own to publish to.
func ownTopic(name string) bool {
	return strings.HasPrefix(name, "$aws/events/") || strings.HasPrefix(name, "$SYS/")
}

// mayPublishReserved reports whether clients publish to a topic, which is valid.
func (b *Broker) mayPublishReserved(name string) bool {
	if ownTopic(name) {
		return false
	}
	if name[0] != '$' || !b.opts.ReservedTopics {
		return true
	}
	for _, filter := range reservedPublish {
		if topic.MatchBelow(filter, name) {
			return true
		}
	}
	return false
}

// mayRetainReserved says why no message of a topic, which is valid, is retained, if so.
func (b *Broker) mayRetainReserved(name string) error {
	if b.opts.ReservedTopics && name[0] == '$' {
		return fmt.Errorf("%w: no retained message on a reserved topic", ErrNotAuthorized)
	}
	return nil
}

// maySubscribeReserved reports whether a filter, which is valid, matches anything that
// clients may subscribe to.
func (b *Broker) maySubscribeReserved(filter string) bool {
	if filter[0] != '$' || !b.opts.ReservedTopics {
		return true
	}
	for _, open := range reservedSubscribe {
		if topic.Overlap(open, filter) {
			return true
		}
	}
	return false
}

// counted is what of a name or filter counts for limits.
func (b *Broker) counted(s string) string {
	if !b.opts.ReservedTopics {
		return s
	}
	if rest, ok := strings.CutPrefix(s, basicIngest); ok {
		if _, inner, ok := strings.Cut(rest, "/"); ok {
			return inner
		}
	}
	return s
}

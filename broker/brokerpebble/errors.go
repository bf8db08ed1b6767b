package brokerpebble

import (
	"errors"
	"fmt"

	"github.com/thingloom/thingloom/broker"
)

// ErrCorrupt reports a stored record that cannot be read. The *CorruptError
// around it says which. Retrying does not help; deleting the record does. It wraps [broker.ErrCorrupt].
var ErrCorrupt = fmt.Errorf("brokerpebble: %w", broker.ErrCorrupt)

// ErrFormat reports that the prefix holds a format that this version of the
// package does not know. Use the version that wrote it.
var ErrFormat = errors.New("brokerpebble: unknown format")

// ErrTooLong reports a client ID, topic or string too long to be stored: MQTT
// ends them at 65,535 bytes.
var ErrTooLong = errors.New("brokerpebble: string longer than 65535 bytes")

// A CorruptError tells which record cannot be read. It wraps ErrCorrupt.
type CorruptError struct {
	Key    []byte // below the store's prefix
	Offset int    // of the byte in the record where reading stopped
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("brokerpebble: corrupt record %q at byte %d: %s", e.Key, e.Offset, e.Reason)
}

func (e *CorruptError) Unwrap() error { return ErrCorrupt }

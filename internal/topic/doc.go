// Package topic knows MQTT topic names and topic filters: what is valid, what
// matches, and a tree that finds the filters matching a name.
//
// # Two readings of '#'
//
// In the MQTT standard `sport/#` matches `sport` itself [MQTT-4.7.1-2]; in AWS
// IoT it does not. [Match] and a zero [Tree] follow the standard,
// [MatchBelow] and a Tree with HashBelow follow AWS. Everything else is the
// same for both: `+` matches one level, also an empty one, and a filter that
// begins with a wildcard does not match a name that begins with '$'
// [MQTT-4.7.2-1].
package topic

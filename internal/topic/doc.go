// Package topic knows MQTT topic names and topic filters: what is valid, what
// matches, and a tree that finds the filters matching a name.
package topic

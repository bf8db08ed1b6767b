package jobs

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"
)

// The key space, format 1. No name holds a '/', so it separates. Numbers are
// decimal with leading zeros to 20 digits, so that they sort. Values are JSON:
//
//	j/{job}                            Job
//	l/{job}                            pace: what was rolled out in this minute
//	n/{job}/{shard}                    Counts of the things whose hash is the shard
//	x/{job}/{thing}                    Execution, the present one of the thing
//	o/{job}/{thing}/{number}           Execution, an earlier attempt
//	k/{template}                       Template
//
// and indexes without a value:
//
//	a/{job}                            jobs that the service has work with
//	c/{job}                            jobs that things may join
//	r/{job}/{thing}                    things that wait for their execution
//	s/{job}/{status}/{thing}           present executions by status
//	t/{thing}/{job}                    present executions by thing
//	p/{lane}/{class}/{order}/{job}     pending ones, 0 IN_PROGRESS before 1 QUEUED; a
//	                                   lane is {thing}, or {thing}@{namespace}
//	d/{time}/{job}/{thing}             deadlines, nanoseconds since 1970
const (
	keyJob, keyPace, keyCounts     = "j/", "l/", "n/"
	keyExecution, keyEarlier       = "x/", "o/"
	keyTemplate                    = "k/"
	keyActive, keyJoinable         = "a/", "c/"
	keyWaiting, keyStatus, keyByIt = "r/", "s/", "t/"
	keyPending, keyDeadline        = "p/", "d/"
)

// shards is into how many entries the counts of a job are divided, so that
// updates of many things at once seldom meet.
const shards = 16

func countsKey(job, thing string) string {
	h := fnv.New32a()
	h.Write([]byte(thing))
	return keyCounts + job + "/" + strconv.Itoa(int(h.Sum32()%shards))
}

func executionKey(job, thing string) string { return keyExecution + job + "/" + thing }

func earlierKey(e *Execution) string {
	return fmt.Sprintf("%s%s/%s/%020d", keyEarlier, e.Job, e.Thing, e.Number)
}

// indexes are the keys that lead to an execution.
func indexes(e *Execution) []string {
	keys := []string{keyStatus + e.Job + "/" + string(e.Status) + "/" + e.Thing, keyByIt + e.Thing + "/" + e.Job}
	if !e.Status.Terminal() {
		class := "1/"
		if e.Status == InProgress {
			class = "0/"
		}
		keys = append(keys, fmt.Sprintf("%s%s/%s%020d/%s", keyPending, laneOf(e.Thing, e.Namespace), class, e.Order, e.Job))
	}
	if at := e.Deadline(); !at.IsZero() {
		keys = append(keys, keyDeadline+stamp(at)+"/"+e.Job+"/"+e.Thing)
	}
	return keys
}

// laneOf names the list of pending executions of a thing in a namespace. No name
// of a thing holds an '@'.
func laneOf(thing, namespace string) string {
	if namespace == "" {
		return thing
	}
	return thing + "@" + namespace
}

func stamp(at time.Time) string { return fmt.Sprintf("%020d", at.UnixNano()) }

// last returns what follows the last '/' of a key.
func last(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }

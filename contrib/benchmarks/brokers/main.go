// Command brokers measures MQTT brokers side by side with the project's load generator and prints a table in Markdown:
// one row for each kind of load, one column for each broker, medians of interleaved runs.
//
//	go run ./brokers -bin DIR [-rows fanin0,...] [-targets thingloom,...] [-runs 3] [-duration 2s]
//
// DIR holds the load generator, mqttload, and the bare forwarders that come with it, relay and eventloop. Other brokers
// are taken from there too, or from PATH: flashmq, mosquitto21 (a mosquitto of release 2.1), mosquitto, nats-server,
// comqtt, fluxmq; each is started with a configuration written for the run. One that is not there has a dash in the
// table and the reason below it.
//
// What a broker's process does is all that is measured of it, so everything runs on Linux only.
package main

import (
	"flag"
	"log"
	"os"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	b := &bench{out: os.Stdout}
	flag.StringVar(&b.bin, "bin", "", "folder of mqttload, relay, eventloop and of brokers that are not on PATH")
	names := flag.String("targets", "thingloom,eventloop,relay,flashmq,mosquitto21,mosquitto,nats,mochi,comqtt,fluxmq", "what to measure")
	which := flag.String("rows", "fanin0,fanin1,pairs0,pairs1,fanout0,fanout1,bursts,storm,tlsstorm,trip0,trip1,idle,tlsidle", "loads")
	flag.IntVar(&b.runs, "runs", 3, "interleaved runs, of which the median counts")
	flag.DurationVar(&b.duration, "duration", 2*time.Second, "of one run")
	flag.DurationVar(&b.settle, "settle", 3*time.Second, "how long connections are idle before their memory is measured; Go's own collection of what is idle comes after two minutes")
	flag.Parse()
	var err error
	if b.dir, err = os.MkdirTemp("", "brokers"); err != nil {
		log.Fatal(err)
	}
	err = b.measure(strings.Split(*names, ","), strings.Split(*which, ","))
	os.RemoveAll(b.dir)
	if err != nil {
		log.Fatal(err)
	}
}

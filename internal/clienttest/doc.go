// Package clienttest drives the broker with clients that others wrote: the
// mosquitto programs, mqtt.js, Python's paho, paho.golang and AWS IoT's device SDKs. It is tests only.
//
// TestMatrix runs each feature with each client that has it: the table of features in matrix_test.go says which, and why a
// client does not have one. Features are written once, against a device; device.js and device.py in testdata are devices on
// libraries of Node.js and Python, driven over their standard input. The other tests are what is particular to a client.
//
// Each test needs its programs through package foreign: without them it is
// skipped with a line that begins with "skipped: ", and with
// THINGLOOM_REQUIRE_FOREIGN=1 it fails. What is installed how:
//
//	apt-get install mosquitto mosquitto-clients python3-paho-mqtt nodejs
//	npm install --prefix DIR mqtt@5.16.0 aws-iot-device-sdk@2.2.16 aws-iot-device-sdk-v2@1.28.0; export THINGLOOM_NPM=DIR
package clienttest

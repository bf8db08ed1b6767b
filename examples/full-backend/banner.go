package main

import (
	"fmt"
	"net"
)

// banner says in a screenful what runs where and what to try.
func (b *backend) banner() string {
	c := b.cfg
	port := func(addr string) string {
		_, p, _ := net.SplitHostPort(addr)
		return p
	}
	device := fmt.Sprintf("-h localhost -p %s --cafile %s --cert %s --key %s -q 1", port(c.MQTT), c.path("ca.pem"), c.path("devices", firstDevice+".pem"), c.path("devices", firstDevice+".key"))
	api := "http://" + dialable(c.HTTP)
	curl := fmt.Sprintf(`curl -H "Authorization: Bearer $(cat %s)"`, c.path("admin-token"))
	plain := ""
	if c.Plain != "" {
		plain = fmt.Sprintf("  MQTT, no TLS  %-22s loopback alone, everybody may do everything\n", c.Plain)
	}
	if c.Unix != "" {
		plain += fmt.Sprintf("  MQTT, local   %-22s who may open the file may do everything\n", c.Unix)
	}
	return fmt.Sprintf(`Thingloom is running. Ctrl-C drains and stops it; the next start goes on.

  page and API  %s
  MQTT          %-22s mutual TLS; MQTT 3.1.1 and 5.0
  HTTPS         %-22s mutual TLS, signed, or a custom authorizer; /mqtt (WebSocket), /topics/..., /things/{thing}/shadow; MQTT by ALPN
%s  data          %s: db, bucket, ca.pem, admin-token, aws-credentials, devices

1. A reading above the threshold becomes a notification (see the page):
   mosquitto_pub %s -i %[7]s \
     -t sensors/%[7]s/climate -m '{"temperature": %[8]v}'
   %[9]s -X PUT %[1]s/tables/thresholds/%[7]s -d '{"max": 25}'

2. A configuration reaches the device, as delta or on its topic:
   mosquitto_sub %[6]s -i %[7]s-watch -v \
     -t '$aws/things/%[7]s/shadow/update/delta' -t devices/%[7]s/config
   %[9]s -X PUT %[1]s/devices/%[7]s/config -d '{"intervalSeconds": 5}'
   %[9]s -X PUT '%[1]s/devices/%[7]s/config?via=topic' -d '{"unit": "C"}'

3. Readings become metrics per thing and window: files, a table, the page:
   ls %[10]s    curl %[1]s/api/metrics
   %[9]s %[1]s/tables/metrics/%[7]s

A new device with a certificate of its own, and the same by the AWS CLI:
   %[9]s -X POST %[1]s/devices/lamp-7
   export AWS_SHARED_CREDENTIALS_FILE=%[11]s AWS_DEFAULT_REGION=us-east-1
   aws --endpoint-url %[1]s iot create-keys-and-certificate --set-as-active
`, api, c.MQTT, c.HTTPS, plain, c.Data, device, firstDevice, c.Threshold+1.5, curl, c.path("bucket"), c.path("aws-credentials"))
}

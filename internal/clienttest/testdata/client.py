"""Drives a broker with Python's paho and prints what it sees, one line a step.

Usage: client.py HOST PORT PROTOCOL_VERSION CLIENT_ID TRANSPORT
"""
import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

host, port, version, name, transport = sys.argv[1:]
v5 = version == "5"


class Client:
    def __init__(self, client_id, keep, will=None):
        args = {} if v5 else {"clean_session": not keep}
        self.c = mqtt.Client(client_id, protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311, transport=transport, **args)
        if transport == "websockets":
            self.c.ws_set_options(path="/mqtt")
        self.messages, self.events = queue.Queue(), queue.Queue()
        self.c.on_message = lambda c, u, m: self.messages.put("%s|%d|%d|%s" % (m.topic, m.qos, m.retain, m.payload.decode()))
        self.c.on_connect = lambda c, u, flags, rc, *p: self.events.put(("connect", int(getattr(rc, "value", rc)), flags["session present"]))
        self.c.on_subscribe = lambda c, u, mid, *a: self.events.put(("subscribe", mid))
        if will:
            self.c.will_set(will, "gone", qos=1)
        if v5:
            p = Properties(PacketTypes.CONNECT)
            p.SessionExpiryInterval = 3600 if keep else 0
            self.c.connect(host, int(port), clean_start=not keep, properties=p)
        else:
            self.c.connect(host, int(port))
        self.c.loop_start()
        self.connack = self.events.get(timeout=20)

    def subscribe(self, topic):
        self.c.subscribe(topic, qos=1)
        self.events.get(timeout=20)

    def publish(self, topic, payload, qos=1, retain=False):
        self.c.publish(topic, payload, qos=qos, retain=retain).wait_for_publish()

    def next(self, n):
        return " ".join(self.messages.get(timeout=20) for _ in range(n))

    def end(self):
        self.c.disconnect()
        self.c.loop_stop()


client = Client(name, True)
client.subscribe(name + "/#")
other = Client(name + "-other", False)
other.publish(name + "/a", "zero", qos=0)
other.publish(name + "/a", "one")
other.publish(name + "/retained", "kept", retain=True)
print("live", client.next(3))
client.end()
for i in range(3):
    other.publish(name + "/offline", str(i))
client = Client(name, True)
print("resumed", client.connack[1], client.connack[2], client.next(3))
watch = Client(name + "-watch", False)
watch.subscribe(name + "/retained")
print("retained", watch.next(1))
dying = Client(name + "-dying", False, will=name + "/retained")
dying.c.loop_stop()
dying.c._sock_close()
print("will", watch.next(1))
for c in (client, watch, other):
    c.end()

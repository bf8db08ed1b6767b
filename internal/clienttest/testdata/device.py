"""Does with Python's paho what its standard input says, and tells what happens: JSON, one object a line. See device_test.go."""
import json
import sys
import threading
import queue
from urllib.parse import urlparse

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

out = threading.Lock()


def say(o):
    with out:
        sys.stdout.write(json.dumps(o) + "\n")
        sys.stdout.flush()


def number(rc):
    return int(getattr(rc, "value", rc))


class Device:
    def __init__(self, o):
        self.conn, self.v5 = o["conn"], o["version"] == 5
        where = urlparse(o["address"])
        args = {} if self.v5 else {"clean_session": o["clean"]}
        self.c = mqtt.Client(o["clientID"], protocol=mqtt.MQTTv5 if self.v5 else mqtt.MQTTv311,
                             transport="websockets" if where.scheme == "ws" else "tcp", **args)
        if where.scheme == "ws":
            self.c.ws_set_options(path=where.path)
        if o.get("username"):
            self.c.username_pw_set(o["username"], o.get("password"))
        self.answers, self.mids, self.lock = queue.Queue(), {}, threading.Lock()
        self.c.on_message = self.message
        self.c.on_connect = lambda c, u, flags, rc, props=None: self.answers.put((rc, flags, props))
        self.c.on_disconnect = self.disconnected
        self.c.on_subscribe = lambda c, u, mid, codes, props=None: self.mid(mid).put([number(x) for x in codes])
        self.c.on_unsubscribe = lambda c, u, mid, *rest: self.mid(mid).put([])
        will = o.get("will")
        if will:
            p = None
            if self.v5:
                p = Properties(PacketTypes.WILLMESSAGE)
                p.WillDelayInterval = will.get("delay", 0)
            self.c.will_set(will["topic"], will["payload"], qos=will["qos"], retain=will.get("retain", False), properties=p)
        if self.v5:
            p = Properties(PacketTypes.CONNECT)
            for name, to in (("sessionExpiry", "SessionExpiryInterval"), ("receiveMaximum", "ReceiveMaximum"),
                             ("maximumPacketSize", "MaximumPacketSize"), ("topicAliasMaximum", "TopicAliasMaximum")):
                if o.get(name):
                    setattr(p, to, o[name])
            self.c.connect(where.hostname, where.port, clean_start=o["clean"], properties=p)
        else:
            self.c.connect(where.hostname, where.port)
        self.c.loop_start()
        rc, flags, props = self.answers.get(timeout=20)
        if number(rc):
            # loop_start connects again and again.
            self.c.disconnect()
            self.c.loop_stop()
        self.connack = {"code": number(rc), "present": bool(flags["session present"]),
                        "assigned": getattr(props, "AssignedClientIdentifier", "") if props else ""}

    def mid(self, mid):  # the callback may be faster than the call that it answers
        with self.lock:
            return self.mids.setdefault(mid, queue.Queue())

    def message(self, c, u, m):
        p = getattr(m, "properties", None)
        correlation = getattr(p, "CorrelationData", None)
        say({"conn": self.conn, "message": {
            "topic": m.topic, "payload": m.payload.decode(), "qos": m.qos, "retain": bool(m.retain),
            "contentType": getattr(p, "ContentType", ""), "responseTopic": getattr(p, "ResponseTopic", ""),
            "correlation": correlation.decode() if correlation else "", "user": [list(x) for x in getattr(p, "UserProperty", [])],
            "expiry": getattr(p, "MessageExpiryInterval", None), "text": getattr(p, "PayloadFormatIndicator", 0),
            "identifiers": getattr(p, "SubscriptionIdentifier", None), "alias": getattr(p, "TopicAlias", 0)}})

    def disconnected(self, c, u, rc, props=None):
        say({"conn": self.conn, "closed": number(rc) if self.v5 and number(rc) >= 0x80 else 0})
        # Whoever was thrown out must not come back by itself.
        threading.Thread(target=c.loop_stop, daemon=True).start()

    def subscribe(self, o):
        p = None
        if self.v5:
            p = Properties(PacketTypes.SUBSCRIBE)
            if o.get("identifier"):
                p.SubscriptionIdentifier = o["identifier"]
            filters = [(f["filter"], SubscribeOptions(qos=f.get("qos", 0), noLocal=f.get("noLocal", False),
                                                      retainAsPublished=f.get("retainAsPublished", False), retainHandling=f.get("retainHandling", 0)))
                       for f in o["filters"]]
        else:
            filters = [(f["filter"], f.get("qos", 0)) for f in o["filters"]]
        _, mid = self.c.subscribe(filters, properties=p)
        return {"codes": self.mid(mid).get(timeout=20)}

    def unsubscribe(self, o):
        _, mid = self.c.unsubscribe(o["filter"])
        self.mid(mid).get(timeout=20)
        return {}

    def publish(self, o):
        m, p = o["message"], None
        if self.v5:
            p = Properties(PacketTypes.PUBLISH)
            for name, to in (("contentType", "ContentType"), ("responseTopic", "ResponseTopic"), ("expiry", "MessageExpiryInterval"),
                             ("text", "PayloadFormatIndicator"), ("alias", "TopicAlias")):
                if m.get(name):
                    setattr(p, to, m[name])
            if m.get("correlation"):
                p.CorrelationData = m["correlation"].encode()
            for name, value in m.get("user") or []:
                p.UserProperty = (name, value)
        self.c.publish(m["topic"], m["payload"], qos=m.get("qos", 0), retain=m.get("retain", False), properties=p).wait_for_publish(20)
        return {}

    def leave(self, o):
        self.c.disconnect()
        self.c.loop_stop()
        return {}

    def kill(self, o):
        self.c.loop_stop()
        self.c._sock_close()
        return {}


devices = {}


def act(o):
    try:
        if o["op"] == "connect":
            devices[o["conn"]] = device = Device(o)
            answer = device.connack
        else:
            answer = getattr(devices[o["conn"]], o["op"])(o)
        say({"id": o["id"], **answer})
    except Exception as err:
        say({"id": o["id"], "failed": repr(err)})


for line in sys.stdin:
    threading.Thread(target=act, args=(json.loads(line),), daemon=True).start()

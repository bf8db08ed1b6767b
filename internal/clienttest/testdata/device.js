// Does with a client library what its standard input says, and tells what happens: JSON, one object a line. See device_test.go.
// Usage: node device.js mqtt|awsv1|awsv2 CA CERT KEY
const { createRequire } = require('module')
const { createInterface } = require('readline')
const { once } = require('events')
const need = createRequire(process.cwd() + '/')
const [library, ca, cert, key] = process.argv.slice(2)

const say = o => process.stdout.write(JSON.stringify(o) + '\n')
const text = b => b === undefined || b === null ? undefined : Buffer.from(b).toString()

// Each library is a function that connects and returns {connack, subscribe, unsubscribe, publish, leave, kill}.
const libraries = { mqtt: mqttjs, awsv1, awsv2: c => c.version === 5 ? awsv2(c) : awsv2of3(c) }

function tell (conn, topic, payload, packet) {
  const p = packet.properties || {}
  const user = Object.entries(p.userProperties || {}).flatMap(([name, values]) => [].concat(values).map(value => [name, value]))
  say({
    conn,
    message: {
      topic, payload: text(payload), qos: packet.qos, retain: packet.retain, contentType: p.contentType, responseTopic: p.responseTopic, correlation: text(p.correlationData),
      user, expiry: p.messageExpiryInterval, text: p.payloadFormatIndicator, identifiers: p.subscriptionIdentifier && [].concat(p.subscriptionIdentifier), alias: p.topicAlias
    }
  })
}

// overMQTTjs is a device on a client of mqtt.js, which the SDK v1 has inside.
async function overMQTTjs (c, client) {
  client.on('message', (topic, payload, packet) => tell(c.conn, topic, payload, packet))
  client.on('error', () => {})
  let code = 0
  client.on('disconnect', packet => { code = packet.reasonCode })
  const connack = await new Promise((resolve, reject) => {
    client.once('connect', p => resolve({ present: p.sessionPresent, assigned: p.properties && p.properties.assignedClientIdentifier }))
    client.once('error', err => resolve({ code: err.code, failed: String(err) }))
    client.once('close', () => reject(new Error('closed before CONNACK')))
  })
  client.on('close', () => say({ conn: c.conn, closed: code }))
  const call = (method, ...args) => new Promise((resolve, reject) => client[method](...args, (err, result) => err ? reject(err) : resolve(result)))
  return {
    connack,
    async subscribe ({ filters, identifier }) {
      const map = {}
      for (const f of filters) map[f.filter] = { qos: f.qos, nl: f.noLocal, rap: f.retainAsPublished, rh: f.retainHandling }
      try {
        return (await call('subscribe', map, identifier ? { properties: { subscriptionIdentifier: identifier } } : {})).map(g => g.qos)
      } catch (err) {
        if (err.packet) return err.packet.granted
        throw err
      }
    },
    unsubscribe: filter => call('unsubscribe', filter),
    async publish (m) {
      const properties = c.version === 5
        ? {
            contentType: m.contentType, responseTopic: m.responseTopic, correlationData: m.correlation && Buffer.from(m.correlation), messageExpiryInterval: m.expiry,
            payloadFormatIndicator: m.text && true, topicAlias: m.alias, userProperties: m.user && m.user.reduce((o, [k, v]) => ({ ...o, [k]: (o[k] || []).concat(v) }), {})
          }
        : undefined
      for (const k in properties) if (properties[k] === undefined) delete properties[k]
      try {
        await call('publish', m.topic, m.payload, { qos: m.qos, retain: m.retain, properties })
        return 0
      } catch (err) {
        if (err.code) return err.code
        throw err
      }
    },
    async leave () { await call('end', false) },
    kill () { (client.stream || client._client || client).destroy() }
  }
}

async function mqttjs (c) {
  const w = c.will
  const properties = c.version === 5
    ? { sessionExpiryInterval: c.sessionExpiry, receiveMaximum: c.receiveMaximum, maximumPacketSize: c.maximumPacketSize, topicAliasMaximum: c.topicAliasMaximum }
    : undefined
  for (const k in properties) if (!properties[k]) delete properties[k]
  const client = need('mqtt').connect(c.address, {
    protocolVersion: c.version, reconnectPeriod: 0, connectTimeout: 20000, clientId: c.clientID, clean: c.clean, properties, username: c.username, password: c.password,
    will: w && { topic: w.topic, payload: w.payload, qos: w.qos, retain: w.retain, properties: c.version === 5 ? { willDelayInterval: w.delay || 0 } : undefined }
  })
  return overMQTTjs(c, client)
}

async function awsv1 (c) {
  const [host, port] = c.address.split(':')
  const device = need('aws-iot-device-sdk').device({
    host, port: Number(port), caPath: ca, certPath: cert, keyPath: key, clientId: c.clientID, protocol: 'mqtts', clean: c.clean, baseReconnectTimeMs: 3600000, maximumReconnectTimeMs: 7200000, minimumConnectionTimeMs: 3600001,
    will: c.will && { topic: c.will.topic, payload: c.will.payload, qos: c.will.qos, retain: c.will.retain }
  })
  const d = await overMQTTjs(c, device)
  d.kill = () => device.simulateNetworkFailure()
  d.subscribe = async ({ filters }) => {
    const codes = []
    for (const f of filters) {
      const granted = await new Promise((resolve, reject) => device.subscribe(f.filter, { qos: f.qos }, (err, g) => err ? reject(err) : resolve(g)))
      codes.push(granted[0].qos)
    }
    return codes
  }
  return d
}

async function awsv2 (c) {
  const { iot, mqtt5 } = need('aws-iot-device-sdk-v2')
  const [host, port] = c.address.split(':')
  const b = iot.AwsIotMqtt5ClientConfigBuilder.newDirectMqttBuilderWithMtlsFromPath(host, cert, key)
  b.withCertificateAuthorityFromPath(undefined, ca)
  b.withPort(Number(port))
  b.withSessionBehavior(c.clean ? mqtt5.ClientSessionBehavior.Clean : mqtt5.ClientSessionBehavior.RejoinAlways)
  b.withMinReconnectDelayMs(3600000)
  b.withMaxReconnectDelayMs(7200000)
  const aliases = { outboundBehavior: mqtt5.OutboundTopicAliasBehaviorType.Manual }
  if (c.topicAliasMaximum) {
    aliases.inboundBehavior = mqtt5.InboundTopicAliasBehaviorType.Enabled
    aliases.inboundCacheMaxSize = c.topicAliasMaximum
  }
  b.withTopicAliasingOptions(aliases)
  const properties = { clientId: c.clientID, keepAliveIntervalSeconds: 1200, sessionExpiryIntervalSeconds: c.sessionExpiry || 0 }
  if (c.receiveMaximum) properties.receiveMaximum = c.receiveMaximum // one that is undefined is refused
  if (c.maximumPacketSize) properties.maximumPacketSizeBytes = c.maximumPacketSize
  if (c.will) {
    properties.will = { topicName: c.will.topic, payload: c.will.payload, qos: c.will.qos, retain: c.will.retain }
    properties.willDelayIntervalSeconds = c.will.delay || 0
  }
  b.withConnectProperties(properties)
  const client = new mqtt5.Mqtt5Client(b.build())
  client.on('messageReceived', ({ message: m }) => say({
    conn: c.conn,
    message: {
      topic: m.topicName, payload: text(m.payload) || '', qos: m.qos, retain: m.retain, contentType: m.contentType, responseTopic: m.responseTopic, correlation: text(m.correlationData),
      user: (m.userProperties || []).map(u => [u.name, u.value]), expiry: m.messageExpiryIntervalSeconds, text: m.payloadFormat, identifiers: m.subscriptionIdentifiers
    }
  }))
  client.on('disconnection', e => say({ conn: c.conn, closed: e.disconnect ? e.disconnect.reasonCode : 0 }))
  client.on('error', () => {})
  const up = new Promise(resolve => {
    client.once('connectionSuccess', e => resolve({ present: e.connack.sessionPresent, assigned: e.connack.assignedClientIdentifier }))
    client.once('connectionFailure', e => resolve({ code: e.connack ? e.connack.reasonCode : 1, failed: String(e.error) }))
  })
  client.start()
  const connack = await up
  const stop = async packet => { const stopped = once(client, 'stopped'); client.stop(packet); await stopped }
  if (connack.code) await stop()
  return {
    connack,
    subscribe: async ({ filters, identifier }) => {
      const packet = {
        subscriptions: filters.map(f => ({ topicFilter: f.filter, qos: f.qos, noLocal: f.noLocal, retainAsPublished: f.retainAsPublished, retainHandlingType: f.retainHandling }))
      }
      if (identifier) packet.subscriptionIdentifier = identifier
      return (await client.subscribe(packet)).reasonCodes
    },
    unsubscribe: filter => client.unsubscribe({ topicFilters: [filter] }),
    publish: async m => {
      const packet = {
        topicName: m.topic, payload: m.payload, qos: m.qos, retain: m.retain, contentType: m.contentType, responseTopic: m.responseTopic, correlationData: m.correlation,
        messageExpiryIntervalSeconds: m.expiry, payloadFormat: m.text, topicAlias: m.alias, userProperties: m.user && m.user.map(([name, value]) => ({ name, value }))
      }
      for (const k in packet) if (packet[k] === undefined) delete packet[k]
      const ack = await client.publish(packet)
      return ack ? ack.reasonCode : 0
    },
    leave: () => stop({ reasonCode: 0 }),
    kill: () => stop() // without a packet, it says none
  }
}

async function awsv2of3 (c) {
  const { iot, mqtt } = need('aws-iot-device-sdk-v2')
  const [host, port] = c.address.split(':')
  const b = iot.AwsIotMqttConnectionConfigBuilder.new_mtls_builder_from_path(cert, key)
  b.with_certificate_authority_from_path(undefined, ca)
  b.with_clean_session(c.clean)
  b.with_client_id(c.clientID)
  b.with_endpoint(host)
  b.with_port(Number(port))
  b.with_reconnect_min_sec(3600)
  b.with_reconnect_max_sec(7200)
  if (c.will) b.with_will({ topic: c.will.topic, payload: c.will.payload, qos: c.will.qos, retain: c.will.retain })
  const client = new mqtt.MqttClient().new_connection(b.build())
  client.on('message', (topic, payload, dup, qos, retain) => tell(c.conn, topic, payload, { qos, retain }))
  client.on('interrupt', () => say({ conn: c.conn, closed: 0 }))
  client.on('error', () => {})
  return {
    connack: { present: await client.connect() },
    subscribe: async ({ filters }) => {
      const codes = []
      for (const f of filters) {
        const granted = await client.subscribe(f.filter, f.qos)
        codes.push(granted.error_code ? 128 : granted.qos)
      }
      return codes
    },
    unsubscribe: filter => client.unsubscribe(filter),
    publish: async m => { await client.publish(m.topic, m.payload, m.qos, m.retain); return 0 },
    leave: () => client.disconnect()
  }
}

const devices = {}
async function act (o) {
  const d = devices[o.conn]
  switch (o.op) {
    case 'connect': {
      const made = await libraries[library](o)
      devices[o.conn] = made
      return made.connack
    }
    case 'subscribe': return { codes: await d.subscribe(o) }
    case 'unsubscribe': await d.unsubscribe(o.filter); return {}
    case 'publish': return { code: await d.publish(o.message) }
    case 'leave': await d.leave(); return {}
    case 'kill': await d.kill(); return {}
  }
}
createInterface({ input: process.stdin }).on('line', line => {
  const o = JSON.parse(line)
  act(o).then(answer => say({ id: o.id, ...answer }), err => say({ id: o.id, failed: String(err && err.stack || err) }))
}).on('close', () => process.exit(0))

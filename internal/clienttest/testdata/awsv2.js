// Drives a broker with AWS IoT's device SDK v2 over mutual TLS and prints what it sees, one line a step.
// Usage: node awsv2.js HOST PORT CA CERT KEY CLIENT_ID PROTOCOL_VERSION
const { createRequire } = require('module')
const { iot, mqtt, mqtt5 } = createRequire(process.cwd() + '/')('aws-iot-device-sdk-v2')
const { once } = require('events')
const [host, port, ca, cert, key, id, version] = process.argv.slice(2)

function inbox () {
  const got = []
  let wake = () => {}
  return {
    put: line => { got.push(line); wake() },
    next: async n => {
      while (got.length < n) await new Promise(resolve => { wake = resolve })
      return got.splice(0, n).join(' ')
    }
  }
}

async function connect5 (clientId, resume, will) {
  const builder = iot.AwsIotMqtt5ClientConfigBuilder.newDirectMqttBuilderWithMtlsFromPath(host, cert, key)
  builder.withCertificateAuthorityFromPath(undefined, ca)
  builder.withPort(Number(port))
  builder.withSessionBehavior(resume ? mqtt5.ClientSessionBehavior.RejoinAlways : mqtt5.ClientSessionBehavior.Clean)
  builder.withConnectProperties({ clientId, keepAliveIntervalSeconds: 1200, sessionExpiryIntervalSeconds: resume ? 3600 : 0, will, willDelayIntervalSeconds: 0 })
  const client = new mqtt5.Mqtt5Client(builder.build())
  const box = inbox()
  client.on('messageReceived', ({ message: m }) => {
    const user = (m.userProperties || []).map(u => `${u.name}=${u.value}`).join(',')
    box.put([m.topicName, m.qos, m.retain, Buffer.from(m.payload || ''), m.contentType, m.responseTopic, m.correlationData && Buffer.from(m.correlationData), user].join('|'))
  })
  const up = once(client, 'connectionSuccess')
  client.on('connectionFailure', e => { console.error(e.error); process.exit(1) })
  client.start()
  const [{ connack, settings }] = await up
  return {
    client, next: box.next, connack, settings,
    stop: async () => { const stopped = once(client, 'stopped'); client.stop({ reasonCode: 0 }); await stopped; client.close() }
  }
}

async function main5 () {
  let device = await connect5(id, true)
  const other = await connect5(id + '-other', false)
  const s = device.settings
  console.log('connected', device.connack.sessionPresent, s.maximumQos, s.receiveMaximumFromServer, s.serverKeepAlive, s.topicAliasMaximumToServer, s.subscriptionIdentifiersAvailable)
  const suback = await device.client.subscribe({ subscriptions: [{ topicFilter: `${id}/#`, qos: 1 }, { topicFilter: `$aws/things/${id}/shadow/get/+`, qos: 1 }, { topicFilter: `forbidden/${id}`, qos: 1 }] })
  console.log('granted', suback.reasonCodes.join(' '))
  const publish = (topicName, payload, more) => other.client.publish({ topicName, payload, qos: 1, ...more })
  await publish(`${id}/a`, 'zero', { qos: 0 })
  await publish(`${id}/a`, 'one', { contentType: 'text', responseTopic: 'r', correlationData: 'c', userProperties: [{ name: 'k', value: 'v' }, { name: 'k', value: 'w' }] })
  await publish(`${id}/kept`, 'kept', { retain: true })
  console.log('live', await device.next(3))
  await device.client.publish({ topicName: 'flush', payload: 'x', qos: 1 }) // behind the acknowledgements
  await device.stop()
  for (let i = 0; i < 3; i++) await publish(`${id}/offline`, String(i))
  device = await connect5(id, true)
  console.log('resumed', device.connack.sessionPresent, await device.next(3))
  await device.client.unsubscribe({ topicFilters: [`${id}/#`] })
  await device.client.subscribe({ subscriptions: [{ topicFilter: `${id}/kept`, qos: 1 }] })
  console.log('retained', await device.next(1))
  const puback = await publish(`forbidden/${id}`, 'x')
  console.log('forbidden', puback.reasonCode)
  const shared = await connect5(id + '-shared', false)
  await shared.client.subscribe({ subscriptions: [{ topicFilter: `$share/g/${id}/shared`, qos: 1 }] })
  await publish(`${id}/shared`, 'for one')
  console.log('shared', await shared.next(1))
  const dying = await connect5(id + '-dying', false, { topicName: `${id}/kept`, payload: 'gone', qos: 1 })
  const stopped = once(dying.client, 'stopped')
  dying.client.stop({ reasonCode: 4 }) // disconnect with will
  await stopped
  console.log('will', await device.next(1))
  process.exit(0)
}

async function connect3 (clientId, resume, will) {
  const builder = iot.AwsIotMqttConnectionConfigBuilder.new_mtls_builder_from_path(cert, key)
  builder.with_certificate_authority_from_path(undefined, ca)
  builder.with_clean_session(!resume)
  builder.with_client_id(clientId)
  builder.with_endpoint(host)
  builder.with_port(Number(port))
  builder.with_keep_alive_seconds(60)
  if (will) builder.with_will({ topic: will, payload: 'gone', qos: 1, retain: false })
  const c = new mqtt.MqttClient().new_connection(builder.build())
  const box = inbox()
  c.on('message', (topic, payload, dup, qos, retain) => box.put([topic, qos, retain, Buffer.from(payload)].join('|')))
  const present = await c.connect()
  return { c, next: box.next, present }
}

async function main3 () {
  let device = await connect3(id, true)
  const other = await connect3(id + '-other', false)
  console.log('connected', device.present)
  const granted = await device.c.subscribe(`${id}/#`, 1)
  console.log('granted', granted.qos)
  const publish = async (topic, payload, qos = 1, retain = false) => { await other.c.publish(topic, payload, qos, retain) }
  await publish(`${id}/a`, 'zero', 0)
  await publish(`${id}/a`, 'one')
  await publish(`${id}/kept`, 'kept', 1, true)
  console.log('live', await device.next(3))
  await device.c.publish('flush', 'x', 1) // behind the acknowledgements
  await device.c.disconnect()
  for (let i = 0; i < 3; i++) await publish(`${id}/offline`, String(i))
  device = await connect3(id, true)
  console.log('resumed', device.present, await device.next(3))
  await device.c.unsubscribe(`${id}/#`)
  await device.c.subscribe(`${id}/kept`, 1)
  console.log('retained', await device.next(1))
  process.exit(0)
}
(version === '5' ? main5() : main3()).catch(err => { console.error(err); process.exit(1) })

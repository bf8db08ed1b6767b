// Tries what MQTT 5 has, with mqtt.js, and prints what it sees, one line a feature.
// Usage: node features5.js URL CLIENT_ID
const { createRequire } = require('module')
const mqtt = createRequire(process.cwd() + '/')('mqtt')
const [url, id] = process.argv.slice(2)

async function connect (clientId, more) {
  const client = mqtt.connect(url, { protocolVersion: 5, reconnectPeriod: 0, connectTimeout: 10000, clientId, clean: true, ...more })
  const got = []
  let wake = () => {}
  client.on('message', (topic, payload, packet) => { got.push(packet); wake() })
  client.on('error', () => {})
  client.next = async n => {
    while (got.length < n) await new Promise(resolve => { wake = resolve })
    return got.splice(0, n)
  }
  client.connack = await new Promise((resolve, reject) => { client.once('connect', resolve); client.once('error', reject) })
  return client
}
const texts = packets => packets.map(p => String(p.payload)).join(' ')

async function main () {
  const other = await connect(id + '-other')

  const assigned = await connect('')
  console.log('assigned', assigned.connack.properties.assignedClientIdentifier.length > 0)

  const a = await connect(id + '-a', { properties: { topicAliasMaximum: 5, receiveMaximum: 2, maximumPacketSize: 400 } })
  await a.subscribeAsync(`${id}/id/+`, { qos: 1, properties: { subscriptionIdentifier: 7 } })
  await other.publishAsync(`${id}/id/x`, 'x', { qos: 1 })
  await other.publishAsync(`${id}/id/x`, 'y', { qos: 1 })
  const [x, y] = await a.next(2)
  console.log('identifier and alias', x.properties.subscriptionIdentifier, x.properties.topicAlias, y.properties.topicAlias, y.topic)

  await a.subscribeAsync(`${id}/big`, { qos: 1 })
  await other.publishAsync(`${id}/big`, 'x'.repeat(1000), { qos: 1 })
  for (let i = 0; i < 10; i++) await other.publishAsync(`${id}/big`, String(i), { qos: 1 })
  console.log('window of two, none too large', texts(await a.next(10)))

  const own = await connect(id + '-own', { autoUseTopicAlias: true, autoAssignTopicAlias: true, properties: {} })
  await own.subscribeAsync(`${id}/own`, { qos: 1, nl: true })
  await own.subscribeAsync(`${id}/rap`, { qos: 1, rap: true })
  await own.publishAsync(`${id}/own`, 'not for me', { qos: 1 })
  for (let i = 0; i < 3; i++) await own.publishAsync(`${id}/rap`, String(i), { qos: 1, retain: true })
  const back = await own.next(3)
  console.log('no local, retain as published', texts(back), back[0].retain)
  await own.unsubscribeAsync(`${id}/rap`)
  await own.subscribeAsync(`${id}/rap`, { qos: 1, rh: 2 })
  await own.subscribeAsync(`${id}/rap`, { qos: 1, rh: 1 })
  await own.subscribeAsync(`${id}/rap`, { qos: 1, rh: 0 })
  const kept = await own.next(1)
  console.log('retain handling', texts(kept), kept[0].retain)

  const members = [await connect(id + '-m1'), await connect(id + '-m2')]
  for (const m of members) await m.subscribeAsync(`$share/g/${id}/work`, { qos: 1 })
  for (let i = 0; i < 10; i++) await other.publishAsync(`${id}/work`, String(i), { qos: 1 })
  const halves = await Promise.all(members.map(m => m.next(5)))
  console.log('shared', halves.flat().map(p => String(p.payload)).sort().join(' '))

  const options = { clean: false, properties: { sessionExpiryInterval: 600 } }
  let away = await connect(id + '-away', options)
  await away.subscribeAsync(`${id}/exp`, { qos: 1 })
  await away.endAsync()
  await other.publishAsync(`${id}/exp`, 'stays', { qos: 1, properties: { messageExpiryInterval: 600 } })
  away = await connect(id + '-away', options)
  const [left] = await away.next(1)
  console.log('expiry', away.connack.sessionPresent, left.properties.messageExpiryInterval <= 600)

  const watch = await connect(id + '-watch')
  await watch.subscribeAsync(`${id}/will`, { qos: 1 })
  const dying = await connect(id + '-dying', { will: { topic: `${id}/will`, payload: 'gone', qos: 1, properties: { userProperties: { k: 'v' }, contentType: 't' } } })
  dying.stream.destroy()
  const [will] = await watch.next(1)
  console.log('will', String(will.payload), will.properties.userProperties.k, will.properties.contentType)

  const first = await connect(id + '-twice')
  const told = new Promise(resolve => first.on('disconnect', packet => resolve(packet.reasonCode)))
  await connect(id + '-twice')
  console.log('taken over', await told)

  const refused = await connect(id + '-wrong', { username: 'u', password: 'wrong' }).catch(err => err.code)
  console.log('refused', refused)
  const suback = await other.subscribeAsync([`forbidden/${id}`], { qos: 1 }).catch(err => err.packet.granted[0])
  console.log('not authorized', suback)
  process.exit(0)
}
main().catch(err => { console.error(err); process.exit(1) })

// Drives a broker with mqtt.js and prints what it sees, one line a step.
// Usage: node client.js URL PROTOCOL_VERSION CLIENT_ID
const { createRequire } = require('module')
const mqtt = createRequire(process.cwd() + '/')('mqtt')
const [url, version, id] = process.argv.slice(2)
const v5 = version === '5'

function connect (options) {
  return mqtt.connectAsync(url, {
    protocolVersion: Number(version), reconnectPeriod: 0, connectTimeout: 10000, ...options
  })
}

// messages collects what client gets; next(n) waits for n more.
function messages (client) {
  const got = []
  let wake = () => {}
  client.on('message', (topic, payload, packet) => {
    got.push(`${topic}|${packet.qos}|${packet.retain}|${payload}`)
    wake()
  })
  return async n => {
    while (got.length < n) await new Promise(resolve => { wake = resolve })
    return got.splice(0, n).join(' ')
  }
}

async function main () {
  const options = { clientId: id, clean: false, properties: v5 ? { sessionExpiryInterval: 3600 } : undefined }
  let client = await connect(options)
  let next = messages(client)
  await client.subscribeAsync(`${id}/#`, { qos: 1 })
  const other = await connect({ clientId: id + '-other', clean: true })

  await other.publishAsync(`${id}/a`, 'zero', { qos: 0 })
  await other.publishAsync(`${id}/a`, 'one', { qos: 1 })
  await other.publishAsync(`${id}/retained`, 'kept', { qos: 1, retain: true })
  console.log('live', await next(3))

  await client.endAsync()
  for (let i = 0; i < 3; i++) await other.publishAsync(`${id}/offline`, String(i), { qos: 1 })
  client = mqtt.connect(url, { protocolVersion: Number(version), reconnectPeriod: 0, ...options })
  next = messages(client) // before the queue comes
  const connack = await new Promise((resolve, reject) => { client.on('connect', resolve); client.on('error', reject) })
  console.log('resumed', connack.sessionPresent, await next(3))

  await client.unsubscribeAsync(`${id}/#`)
  await client.subscribeAsync(`${id}/retained`, { qos: 1 })
  console.log('retained', await next(1))

  if (v5) {
    const seen = new Promise(resolve => client.once('message', (topic, payload, packet) => resolve(packet.properties)))
    await other.publishAsync(`${id}/retained`, 'x', {
      qos: 1,
      properties: { contentType: 'text/plain', responseTopic: 'r', correlationData: Buffer.from('c'), userProperties: { k: ['v', 'w'] } }
    })
    const p = await seen
    console.log('properties', p.contentType, p.responseTopic, String(p.correlationData), [].concat(p.userProperties.k).join())
    await next(1)
  }

  const dying = await connect({ clientId: id + '-dying', clean: true, will: { topic: `${id}/retained`, payload: 'gone', qos: 1 } })
  dying.stream.destroy()
  console.log('will', await next(1))

  // One packet in many frames, and above the usual limit of a frame.
  const big = Buffer.alloc(200000, 'x')
  await other.publishAsync(`${id}/retained`, big, { qos: 1 })
  console.log('big', (await next(1)).length)

  if (v5) {
    try {
      await other.publishAsync('forbidden/x', 'x', { qos: 1 })
      console.log('forbidden publish succeeded')
    } catch (err) {
      console.log('forbidden', err.code)
    }
  }
  await client.endAsync()
  await other.endAsync()
}

main().catch(err => { console.log('failed', err); process.exit(1) })

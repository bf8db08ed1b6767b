// Drives a broker with AWS IoT's device SDK v1 over mutual TLS and prints what it sees, one line a step.
// Usage: node awsv1.js HOST PORT CA CERT KEY CLIENT_ID
const { createRequire } = require('module')
const awsIot = createRequire(process.cwd() + '/')('aws-iot-device-sdk')
const [host, port, caPath, certPath, keyPath, id] = process.argv.slice(2)

function connect (clientId, more) {
  const device = awsIot.device({ host, port: Number(port), caPath, certPath, keyPath, clientId, protocol: 'mqtts', ...more })
  const got = []
  let wake = () => {}
  device.on('message', (topic, payload, packet) => {
    got.push(`${topic}|${packet.qos}|${packet.retain}|${payload}`)
    wake()
  })
  device.next = async n => {
    while (got.length < n) await new Promise(resolve => { wake = resolve })
    return got.splice(0, n).join(' ')
  }
  return new Promise((resolve, reject) => {
    device.once('connect', connack => { device.present = connack.sessionPresent; resolve(device) })
    device.once('error', reject)
    device.once('close', () => reject(new Error('closed')))
  })
}
const call = (device, method, ...args) => new Promise((resolve, reject) => {
  device[method](...args, (err, granted) => err ? reject(err) : resolve(granted))
})

async function main () {
  let device = await connect(id, { clean: false })
  const other = await connect(id + '-other', { clean: true })
  console.log('connected', device.present)
  // What the SDK's shadow client does: seven filters in one SUBSCRIBE.
  const filters = ['update/delta', 'update/accepted', 'update/rejected', 'get/accepted', 'get/rejected', 'delete/accepted', 'delete/rejected']
  const granted = await call(device, 'subscribe', filters.map(f => `$aws/things/${id}/shadow/${f}`), { qos: 0 })
  console.log('shadow', granted.map(g => g.qos).join(' '))
  await call(device, 'subscribe', `${id}/#`, { qos: 1 })
  await call(other, 'publish', `${id}/a`, 'zero', { qos: 0 })
  await call(other, 'publish', `${id}/a`, 'one', { qos: 1 })
  await call(other, 'publish', `${id}/kept`, 'kept', { qos: 1, retain: true })
  console.log('live', await device.next(3))
  await call(device, 'publish', 'flush', 'x', { qos: 1 }) // behind the acknowledgements
  await call(device, 'end', false)
  for (let i = 0; i < 3; i++) await call(other, 'publish', `${id}/offline`, String(i), { qos: 1 })
  device = await connect(id, { clean: false })
  console.log('resumed', device.present, await device.next(3))
  await call(device, 'unsubscribe', `${id}/#`)
  await call(device, 'subscribe', `${id}/kept`, { qos: 1 })
  console.log('retained', await device.next(1))
  const dying = await connect(id + '-dying', { will: { topic: `${id}/kept`, payload: 'gone', qos: 1, retain: false } })
  dying.on('error', () => {})
  dying.simulateNetworkFailure ? dying.simulateNetworkFailure() : dying.end(true)
  console.log('will', await device.next(1))
  process.exit(0)
}
main().catch(err => { console.error(err); process.exit(1) })

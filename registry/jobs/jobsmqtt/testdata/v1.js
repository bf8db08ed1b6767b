// The jobs client of aws-iot-device-sdk: subscribes, takes the first job and
// then the next one as it is notified.
const [port, ca, cert, key] = process.argv.slice(2)
const { jobs } = require('aws-iot-device-sdk')
const client = jobs({ host: 'localhost', port: Number(port), clientId: 't1', caPath: ca, certPath: cert, keyPath: key })
const fail = why => { console.error(why); process.exit(1) }
client.on('error', fail)
setTimeout(() => fail('too slow'), 30000).unref()
client.on('connect', () => {
  client.subscribeToJobs('t1', (err, job) => {
    if (err) return fail(err)
    console.log('job', job.id, JSON.stringify(job.document))
    if (job.document.n !== 1) fail('document')
    if (job.id === 'j1') {
      job.inProgress({ by: 'v1' }, err => err ? fail(err) : job.succeeded({ by: 'v1' }, err => err && fail(err)))
    } else {
      job.failed({ by: 'v1' }, err => { if (err) fail(err); client.end(false, () => process.exit(0)) })
    }
  })
  client.startJobNotifications('t1', err => err && fail(err))
})

// The jobs client of aws-iot-device-sdk-v2 over MQTT 5: all four requests, a
// refusal, and both streams.
const [port, ca, cert, key] = process.argv.slice(2)
const { iot, mqtt5, iotjobs } = require('aws-iot-device-sdk-v2')
const { once } = require('events')
const fail = why => { console.error(why); process.exit(1) }
setTimeout(() => fail('too slow'), 30000).unref()
const equal = (got, want, what) => { if (got !== want) fail(`${what} is ${JSON.stringify(got)}, not ${want}`) }
const main = async () => {
  const builder = iot.AwsIotMqtt5ClientConfigBuilder.newDirectMqttBuilderWithMtlsFromPath('localhost', cert, key)
  builder.withCertificateAuthorityFromPath(undefined, ca)
  builder.withConnectProperties({ clientId: 't1', keepAliveIntervalSeconds: 30 })
  const config = builder.build()
  config.port = Number(port)
  const client = new mqtt5.Mqtt5Client(config)
  const connected = once(client, 'connectionSuccess')
  client.on('connectionFailure', e => fail(e.error))
  client.start()
  await connected
  const svc = iotjobs.IotJobsClientv2.newFromMqtt5(client, { maxRequestResponseSubscriptions: 8, maxStreamingSubscriptions: 2, operationTimeoutInSeconds: 10 })
  const stream = svc.createNextJobExecutionChangedStream({ thingName: 't1' })
  const subscribed = once(stream, 'subscriptionStatus')
  stream.open()
  await subscribed
  const pending = await svc.getPendingJobExecutions({ thingName: 't1' })
  equal(pending.queuedJobs.map(j => j.jobId).join(), 'j1,j2', 'the queue')
  const started = await svc.startNextPendingJobExecution({ thingName: 't1', statusDetails: { by: 'v2' }, stepTimeoutInMinutes: 5 })
  equal(started.execution.jobId, 'j1', 'the first')
  equal(started.execution.jobDocument.n, 1, 'its document')
  const described = await svc.describeJobExecution({ thingName: 't1', jobId: '$next' })
  equal(described.execution.status, 'IN_PROGRESS', 'the next')
  await svc.updateJobExecution({ thingName: 't1', jobId: 'j1', status: 'SUCCEEDED', expectedVersion: 1 }).then(() => fail('accepted an old version'),
    e => equal(e.modeledError.code, 'VersionMismatch', 'the refusal'))
  const changed = once(stream, 'incomingPublish')
  await svc.updateJobExecution({ thingName: 't1', jobId: 'j1', status: 'SUCCEEDED', expectedVersion: 2 })
  const [event] = await changed
  equal(event.message.execution.jobId, 'j2', 'the notification')
  await svc.updateJobExecution({ thingName: 't1', jobId: 'j2', status: 'FAILED', statusDetails: { by: 'v2' } })
  stream.close()
  svc.close()
  const stopped = once(client, 'stopped')
  client.stop()
  await stopped
  client.close()
  process.exit(0)
}
main().catch(fail)

// Both planes by the AWS SDK for JavaScript v3.
const [endpoint, arns] = process.argv.slice(2)
const iot = require('@aws-sdk/client-iot')
const data = require('@aws-sdk/client-iot-jobs-data-plane')
const config = { endpoint, region: 'us-east-1', credentials: { accessKeyId: 'id', secretAccessKey: 'secret' } }
const control = new iot.IoTClient(config)
const device = new data.IoTJobsDataPlaneClient(config)
const equal = (got, want, what) => { if (got !== want) throw new Error(`${what} is ${JSON.stringify(got)}, not ${JSON.stringify(want)}`) }
const main = async () => {
  const made = await control.send(new iot.CreateJobCommand({
    jobId: 'j1', targets: [arns + 'thing/t:2'], document: '{"op":"x"}', description: 'd',
    abortConfig: { criteriaList: [{ failureType: 'ALL', action: 'CANCEL', thresholdPercentage: 10.5, minNumberOfExecutedThings: 1 }] },
    jobExecutionsRetryConfig: { criteriaList: [{ failureType: 'FAILED', numberOfRetries: 1 }] }
  }))
  equal(made.jobArn, arns + 'job/j1', 'the ARN')
  const started = await device.send(new data.StartNextPendingJobExecutionCommand({ thingName: 't:2', stepTimeoutInMinutes: 5 }))
  equal(started.execution.jobDocument, '{"op":"x"}', 'the document')
  const failed = await device.send(new data.UpdateJobExecutionCommand({ thingName: 't:2', jobId: 'j1', status: 'FAILED', includeJobExecutionState: true }))
  equal(failed.executionState.versionNumber, 3, 'the version')
  const again = await device.send(new data.DescribeJobExecutionCommand({ thingName: 't:2', jobId: '$next' }))
  equal(again.execution.executionNumber, 2, 'the attempt')
  await device.send(new data.UpdateJobExecutionCommand({ thingName: 't:2', jobId: 'j1', status: 'SUCCEEDED' }))
  await device.send(new data.DescribeJobExecutionCommand({ thingName: 't:2', jobId: 'j1' })).then(
    () => { throw new Error('a terminal execution was described') }, e => equal(e.name, 'TerminalStateException', 'the error'))
  const { job } = await control.send(new iot.DescribeJobCommand({ jobId: 'j1' }))
  equal(job.status, 'COMPLETED', 'the job')
  equal(job.createdAt instanceof Date, true, 'a date')
  equal(job.abortConfig.criteriaList[0].thresholdPercentage, 10.5, 'the threshold')
  const list = await control.send(new iot.ListJobExecutionsForThingCommand({ thingName: 't:2' }))
  equal(list.executionSummaries[0].jobExecutionSummary.retryAttempt, 1, 'the retry')
  await control.send(new iot.DeleteJobCommand({ jobId: 'j1' }))
  await control.send(new iot.DescribeJobCommand({ jobId: 'j1' })).then(
    () => { throw new Error('a deleted job was described') }, e => equal(e.name, 'ResourceNotFoundException', 'the error'))
}
main().catch(e => { console.error(e); process.exit(1) })

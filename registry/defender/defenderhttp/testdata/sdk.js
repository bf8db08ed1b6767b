// Security profiles, violations and audits by the AWS SDK for JavaScript v3:
// part 0 configures, then a violation happens, and part 1 looks at it.
const [endpoint, arns, part] = process.argv.slice(2)
const iot = require('@aws-sdk/client-iot')
const client = new iot.IoTClient({ endpoint, region: 'us-east-1', credentials: { accessKeyId: 'id', secretAccessKey: 'secret' } })
const equal = (got, want, what) => { if (got !== want) throw new Error(`${what} is ${JSON.stringify(got)}, not ${JSON.stringify(want)}`) }
const behaviors = [
  { name: 'b', metric: 'aws:num-listening-udp-ports', criteria: { comparisonOperator: 'less-than', value: { count: 9 }, consecutiveDatapointsToAlarm: 1 } },
  { name: 'ports', metric: 'aws:listening-tcp-ports', criteria: { comparisonOperator: 'in-port-set', value: { ports: [22] } } },
  { name: 'usual', metric: 'aws:num-messages-sent', criteria: { comparisonOperator: 'less-than-equals', durationSeconds: 300, statisticalThreshold: { statistic: 'p99.9' } } }
]
const configure = async () => {
  const checked = await client.send(new iot.ValidateSecurityProfileBehaviorsCommand({ behaviors }))
  equal(checked.valid, true, 'the check')
  await client.send(new iot.CreateSecurityProfileCommand({ securityProfileName: 'p', behaviors }))
  await client.send(new iot.AttachSecurityProfileCommand({ securityProfileName: 'p', securityProfileTargetArn: arns + 'all/things' }))
  await client.send(new iot.CreateSecurityProfileCommand({ securityProfileName: 'p' })).then(
    () => { throw new Error('made twice') }, e => equal(e.name, 'ResourceAlreadyExistsException', 'the error'))
}
const look = async () => {
  const { activeViolations: [v] } = await client.send(new iot.ListActiveViolationsCommand({}))
  equal(v.lastViolationValue.count, 9, 'the value')
  equal(v.violationStartTime instanceof Date, true, 'a date')
  await client.send(new iot.PutVerificationStateOnViolationCommand({ violationId: v.violationId, verificationState: 'FALSE_POSITIVE', verificationStateDescription: 'test' }))
  const { violationEvents: [e] } = await client.send(new iot.ListViolationEventsCommand({ startTime: new Date(0), endTime: new Date(Date.now() + 60000), verificationState: 'FALSE_POSITIVE' }))
  equal(e.violationId, v.violationId, 'the event')
  const { taskId } = await client.send(new iot.StartOnDemandAuditTaskCommand({ targetCheckNames: ['IOT_POLICY_OVERLY_PERMISSIVE_CHECK'] }))
  const task = await client.send(new iot.DescribeAuditTaskCommand({ taskId }))
  equal(task.taskStatistics.nonCompliantChecks, 1, 'the audit')
  const { findings: [f] } = await client.send(new iot.ListAuditFindingsCommand({ taskId, startTime: new Date(0) }))
  equal(f.nonCompliantResource.resourceIdentifier.policyVersionIdentifier.policyName, 'wide', 'the finding')
  await client.send(new iot.DeleteSecurityProfileCommand({ securityProfileName: 'p', expectedVersion: 1 }))
}
(part === '0' ? configure : look)().catch(e => { console.error(e); process.exit(1) })

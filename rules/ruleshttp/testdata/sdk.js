// Every rule operation by the AWS SDK for JavaScript v3.
const [endpoint] = process.argv.slice(2)
const iot = require('@aws-sdk/client-iot')
const client = new iot.IoTClient({ endpoint, region: 'us-east-1', credentials: { accessKeyId: 'id', secretAccessKey: 'secret' } })
const send = (name, input) => client.send(new iot[name + 'Command'](input))
const equal = (got, want, what) => {
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${what} is ${JSON.stringify(got)}, not ${JSON.stringify(want)}`)
}
const fails = async (want, name, input) => {
  const e = await send(name, input).then(() => { throw new Error(`${name} did not fail`) }, e => e)
  equal([e.name, e instanceof iot[want], e.$metadata && e.$metadata.httpStatusCode], [want, true, { SqlParseException: 400, InvalidRequestException: 400, UnauthorizedException: 401, ResourceAlreadyExistsException: 409 }[want]], 'the error')
  return e
}
const republish = topic => ({ republish: { roleArn: 'arn:aws:iam::1:role/r', topic, qos: 1, headers: { userProperties: [{ key: 'k', value: '${topic(2)}' }] } } })
const main = async () => {
  const payload = {
    sql: "SELECT t, topic(2) AS id FROM 'sensors/+' WHERE t > 30", description: 'é "quoted"', awsIotSqlVersion: '2015-10-08', ruleDisabled: true,
    actions: [republish('hot/${topic(2)}'), { s3: { roleArn: 'arn:aws:iam::1:role/r', bucketName: 'b', key: '${newuuid()}' } }],
    errorAction: { sqs: { roleArn: 'arn:aws:iam::1:role/r', queueUrl: 'https://example.com/q' } }
  }
  await send('CreateTopicRule', { ruleName: 'hot', topicRulePayload: payload, tags: 'team=climate' })
  const got = await send('GetTopicRule', { ruleName: 'hot' })
  equal(got.ruleArn, 'arn:aws:iot:us-east-1:000000000000:rule/hot', 'the ARN')
  equal(got.rule.createdAt instanceof Date && Math.abs(Date.now() - got.rule.createdAt) < 60000, true, 'createdAt is a date of now')
  for (const member of ['sql', 'description', 'awsIotSqlVersion', 'ruleDisabled', 'actions', 'errorAction']) equal(got.rule[member], payload[member], member)
  await fails('ResourceAlreadyExistsException', 'CreateTopicRule', { ruleName: 'hot', topicRulePayload: payload })
  const syntax = await fails('SqlParseException', 'CreateTopicRule', { ruleName: 'bad', topicRulePayload: { sql: "SELECT uper(a) FROM 'b'", actions: [] } })
  if (!/1:8|column 8/.test(syntax.message) || !syntax.message.includes('upper')) throw new Error('no place in ' + syntax.message)
  await fails('InvalidRequestException', 'CreateTopicRule', { ruleName: 'a-b', topicRulePayload: { sql: "SELECT a FROM 'b'", actions: [] } })
  await fails('InvalidRequestException', 'CreateTopicRule', { ruleName: 'loop', topicRulePayload: { sql: "SELECT a FROM 'loop/+'", actions: [republish('loop/x')] } })
  await fails('UnauthorizedException', 'GetTopicRule', { ruleName: 'absent' })
  await fails('UnauthorizedException', 'ReplaceTopicRule', { ruleName: 'absent', topicRulePayload: { sql: "SELECT a FROM 'b'", actions: [] } })

  for (const name of ['EnableTopicRule', 'DisableTopicRule', 'DeleteTopicRule']) await fails('UnauthorizedException', name, { ruleName: 'absent' })
  await fails('SqlParseException', 'ReplaceTopicRule', { ruleName: 'hot', topicRulePayload: { sql: "SELECT a FROM 'b' WHERE", actions: [] } })
  await fails('SqlParseException', 'CreateTopicRule', { ruleName: 'bad', topicRulePayload: { sql: "SELECT a FROM 'b/#/c'", actions: [] } })
  await fails('SqlParseException', 'CreateTopicRule', { ruleName: 'old', topicRulePayload: { sql: "SELECT [1] AS a FROM 'b'", awsIotSqlVersion: '2015-10-08', actions: [] } })
  await fails('InvalidRequestException', 'CreateTopicRule', { ruleName: 'v', topicRulePayload: { sql: "SELECT a FROM 'b'", awsIotSqlVersion: '2017-01-01', actions: [] } })
  await fails('InvalidRequestException', 'CreateTopicRule', { ruleName: 'many', topicRulePayload: { sql: "SELECT a FROM 'b'", actions: Array(11).fill(republish('x')) } })
  await fails('InvalidRequestException', 'ReplaceTopicRule', { ruleName: 'hot', topicRulePayload: { sql: "SELECT a FROM 'loop/+'", actions: [republish('loop/x')] } })
  await fails('InvalidRequestException', 'ListTopicRules', { nextToken: '?' })
  await fails('InvalidRequestException', 'ListTopicRules', { maxResults: 10001 })

  await send('EnableTopicRule', { ruleName: 'hot' })
  equal((await send('GetTopicRule', { ruleName: 'hot' })).rule.ruleDisabled, false, 'ruleDisabled after EnableTopicRule')
  await send('DisableTopicRule', { ruleName: 'hot' })
  equal((await send('GetTopicRule', { ruleName: 'hot' })).rule.ruleDisabled, true, 'ruleDisabled after DisableTopicRule')

  for (let i = 0; i < 23; i++) {
    await send('CreateTopicRule', { ruleName: 'n' + String(i).padStart(2, '0'), topicRulePayload: { sql: `SELECT a FROM 'many/${i % 2}/+'`, actions: [] } })
  }
  const pages = async input => {
    const names = []
    let most = 0
    for await (const page of iot.paginateListTopicRules({ client, pageSize: 5 }, input)) {
      most = Math.max(most, page.rules.length)
      for (const r of page.rules) {
        equal([r.createdAt instanceof Date, r.ruleArn.endsWith('rule/' + r.ruleName)], [true, true], 'the item ' + r.ruleName)
        names.push(r.ruleName)
      }
    }
    equal(most <= 5, true, 'a page of at most five')
    return names
  }
  equal((await pages({})).length, 24, 'all rules')
  equal(new Set(await pages({})).size, 24, 'all rules, each once')
  equal(await pages({ ruleDisabled: true }), ['hot'], 'the disabled rules')
  equal((await pages({ ruleDisabled: false })).length, 23, 'the enabled rules')
  equal((await pages({ topic: 'many/1/x' })).length, 11, 'the rules of a topic')
  equal(await pages({ topic: 'sensors/s1' }), ['hot'], 'the rules of another')

  await send('ReplaceTopicRule', { ruleName: 'hot', topicRulePayload: { sql: "SELECT * FROM 'a/b'", actions: [] } })
  const replaced = (await send('GetTopicRule', { ruleName: 'hot' })).rule
  equal([replaced.sql, replaced.ruleDisabled, replaced.description, replaced.errorAction, replaced.createdAt], ["SELECT * FROM 'a/b'", false, undefined, undefined, got.rule.createdAt], 'the replaced rule')
  await send('DeleteTopicRule', { ruleName: 'hot' })
  await fails('UnauthorizedException', 'GetTopicRule', { ruleName: 'hot' })
}
main().catch(e => { console.error(e); process.exit(1) })

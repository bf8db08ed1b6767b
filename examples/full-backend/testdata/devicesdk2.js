// A device written with aws-iot-device-sdk-v2: it gets an identity by fleet
// provisioning, reconnects with it, and works with its shadow. Each step
// prints one line of JSON. Only endpoint, port and CA are this test's.
const { iot, mqtt5, iotidentity, iotshadow } = require('aws-iot-device-sdk-v2');
const fs = require('fs'), os = require('os'), path = require('path'), { once } = require('events');
const env = process.env;
const say = (step, value) => console.log(JSON.stringify({ step, ...value }));
const options = { maxRequestResponseSubscriptions: 6, maxStreamingSubscriptions: 6, operationTimeoutInSeconds: 30 };

async function connect(clientId, cert, key) {
  const builder = iot.AwsIotMqtt5ClientConfigBuilder.newDirectMqttBuilderWithMtlsFromPath('localhost', cert, key);
  builder.withPort(Number(env.PORT));
  builder.withCertificateAuthorityFromPath(undefined, env.CA);
  builder.withConnectProperties({ clientId, keepAliveIntervalSeconds: 30 });
  const client = new mqtt5.Mqtt5Client(builder.build());
  client.on('connectionFailure', e => console.error('connect', clientId, String(e.error)));
  const connected = once(client, 'connectionSuccess');
  client.start();
  await connected;
  return client;
}

async function disconnect(client) {
  const stopped = once(client, 'stopped');
  client.stop();
  await stopped;
  client.close();
}

(async () => {
  let client = await connect('claimant-1', env.CERT, env.KEY);
  const identity = iotidentity.IotIdentityClientv2.newFromMqtt5(client, options);
  const made = await identity.createKeysAndCertificate({});
  say('created', { certificateId: made.certificateId, pem: made.certificatePem.startsWith('-----BEGIN CERTIFICATE'), key: made.privateKey.includes('PRIVATE KEY') });
  try {
    await identity.registerThing({ templateName: env.TEMPLATE, certificateOwnershipToken: made.certificateOwnershipToken, parameters: {} });
    say('unexpected', {});
  } catch (e) {
    say('refused', { statusCode: e.modeledError?.statusCode, errorCode: e.modeledError?.errorCode });
  }
  const registered = await identity.registerThing({ templateName: env.TEMPLATE, certificateOwnershipToken: made.certificateOwnershipToken, parameters: { SerialNumber: '7' } });
  say('registered', { thingName: registered.thingName, deviceConfiguration: registered.deviceConfiguration });
  identity.close();
  await disconnect(client);

  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'device'));
  fs.writeFileSync(path.join(dir, 'cert.pem'), made.certificatePem);
  fs.writeFileSync(path.join(dir, 'key.pem'), made.privateKey);
  const thingName = registered.thingName;
  client = await connect(thingName, path.join(dir, 'cert.pem'), path.join(dir, 'key.pem'));
  const shadow = iotshadow.IotShadowClientv2.newFromMqtt5(client, options);
  const deltas = shadow.createShadowDeltaUpdatedStream({ thingName });
  const delta = new Promise(resolve => deltas.on('incomingPublish', e => resolve(e.message)));
  deltas.open();
  await new Promise(resolve => deltas.on('subscriptionStatus', e => e.type === 0 && resolve()));
  const updated = await shadow.updateShadow({ thingName, state: { reported: { colour: 'red' }, desired: { colour: 'green' } } });
  say('updated', { version: updated.version, state: updated.state });
  say('delta', { state: (await delta).state });
  const got = await shadow.getShadow({ thingName });
  say('got', { version: got.version, state: got.state });
  const named = await shadow.updateNamedShadow({ thingName, shadowName: 'config', state: { desired: { n: 1 } } });
  say('named', { version: named.version });
  try {
    await shadow.getNamedShadow({ thingName, shadowName: 'none' });
    say('unexpected', {});
  } catch (e) {
    say('missing', { code: e.modeledError?.code, message: e.modeledError?.message });
  }
  await shadow.deleteShadow({ thingName });
  say('deleted', {});
  deltas.close();
  shadow.close();
  await disconnect(client);
  fs.rmSync(dir, { recursive: true });
  process.exit(0);
})().catch(e => { console.error(e); process.exit(1); });

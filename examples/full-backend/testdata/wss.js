// A program with AWS IoT's device SDK v1, unmodified, that has no certificate: MQTT over WebSocket with a signed URL.
const awsIot = require('aws-iot-device-sdk');
const { PORT, KEY_ID, SECRET } = process.env;
const connect = secretKey => awsIot.device({ protocol: 'wss', host: 'localhost', port: Number(PORT), region: 'us-east-1', clientId: 'office',
  accessKeyId: KEY_ID, secretKey });
const print = line => console.log(JSON.stringify(line));
const bad = connect('x' + SECRET);
bad.on('error', () => {});
bad.once('close', () => {
  print({ step: 'forged', closed: true });
  bad.end(true);
  const device = connect(SECRET);
  device.on('error', e => { print({ step: 'error', message: String(e) }); process.exit(1); });
  device.on('connect', () => device.subscribe('office/#', { qos: 1 }, () => device.publish('office/a', 'signed', { qos: 1 })));
  device.on('message', (topic, payload) => {
    print({ step: 'got', topic, payload: String(payload) });
    device.end(true, () => process.exit(0));
  });
});

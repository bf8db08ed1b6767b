// A back office written with @aws-sdk/client-iot: it sends the commands that come in, one line of JSON each, and prints
// what they answered. Only endpoint and credentials are this test's.
const iot = require('@aws-sdk/client-iot');
const client = new iot.IoTClient({
  endpoint: process.env.ENDPOINT, region: 'us-east-1', maxAttempts: 1,
  credentials: { accessKeyId: process.env.KEY_ID, secretAccessKey: process.env.SECRET },
});
require('readline').createInterface({ input: process.stdin }).on('line', async line => {
  const { command, input } = JSON.parse(line);
  try {
    const { $metadata, ...output } = await client.send(new iot[command + 'Command'](input));
    console.log(JSON.stringify({ output }));
  } catch (e) {
    console.log(JSON.stringify({ error: e.name, status: e.$metadata?.httpStatusCode, message: String(e.message) }));
  }
});

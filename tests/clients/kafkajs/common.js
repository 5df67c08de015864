// What the scripts share: the request on standard input, and a client of kafkajs made of it.

const fs = require('node:fs')
const { Kafka, logLevel } = require('kafkajs')

const request = JSON.parse(fs.readFileSync(0, 'utf8'))
const unpack = text => (text === null || text === undefined ? null : Buffer.from(text, 'base64'))
const pack = bytes => (bytes === null || bytes === undefined ? null : Buffer.from(bytes).toString('base64'))

const kafka = new Kafka({
  clientId: request.clientId || 'kafkajs',
  brokers: request.brokers,
  logLevel: logLevel.ERROR,
  logCreator: () => ({ log }) => console.error(log.message, log.error || ''),
  retry: { initialRetryTime: 100, retries: 10 },
  sasl: request.sasl,
  ssl: request.ssl,
})

const fail = error => {
  console.error(error)
  process.exit(1)
}
const say = row => process.stdout.write(JSON.stringify(row) + '\n')

module.exports = { request, kafka, pack, unpack, fail, say }

// Produces the request's messages, in requests of 100.

const { CompressionTypes } = require('kafkajs')
const { request, kafka, unpack, fail } = require('./common')

const run = async () => {
  const producer = kafka.producer({ idempotent: request.idempotent, maxInFlightRequests: request.idempotent ? 1 : undefined })
  await producer.connect()
  const messages = request.messages.map(message => ({
    key: unpack(message.key),
    value: unpack(message.value),
    headers: Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name, unpack(value)])),
    timestamp: message.timestamp ?? undefined,
  }))
  const compression = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP }[request.codec]
  for (let start = 0; start < messages.length; start += 100) {
    await producer.send({ topic: request.topic, messages: messages.slice(start, start + 100), acks: request.acks, compression })
  }
  await producer.disconnect()
}

run().catch(fail)

// Consumes as a group of one until it has as many records as asked for, and commits exactly these.

const { request, kafka, pack, fail, say } = require('./common')

const row = (partition, { offset, timestamp, key, value, headers }) => ({
  partition,
  offset,
  timestamp,
  key: pack(key),
  value: pack(value),
  headers: Object.entries(headers || {}).map(([name, bytes]) => [name, pack(bytes)]),
})

const run = async () => {
  const consumer = kafka.consumer({ groupId: request.group, retry: { retries: 3 } })
  consumer.on(consumer.events.CRASH, event => fail(event.payload.error))
  setTimeout(() => fail(new Error('out of time')), request.seconds * 1000)
  await consumer.connect()
  await consumer.subscribe({ topic: request.topic, fromBeginning: true })
  let left = request.many
  await new Promise((resolve, reject) => {
    consumer
      .run({
        eachBatchAutoResolve: false,
        eachBatch: async ({ batch, resolveOffset, commitOffsetsIfNecessary, uncommittedOffsets }) => {
          for (const message of batch.messages.slice(0, left)) {
            say(row(batch.partition, message))
            resolveOffset(message.offset)
            left -= 1
          }
          await commitOffsetsIfNecessary(uncommittedOffsets())
          if (left === 0) resolve()
        },
      })
      .catch(reject)
  })
  await consumer.disconnect()
  // A pipe takes what was written to it in its own time.
  process.stdout.write('', () => process.exit(0))
}

run().catch(fail)

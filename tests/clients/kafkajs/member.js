// A member of a consumer group, with the same lines on standard output as kafka_member.py.

const { request, kafka, fail, say } = require('./common')

const run = async () => {
  const consumer = kafka.consumer({
    groupId: request.group,
    sessionTimeout: 6000,
    heartbeatInterval: 500,
    metadataMaxAge: 1000,
    maxWaitTimeInMs: 200,
  })
  consumer.on(consumer.events.GROUP_JOIN, event => say({ assigned: (event.payload.memberAssignment[request.topic] || []).sort() }))
  consumer.on(consumer.events.REBALANCING, () => say({ assigned: [] }))
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, () => consumer.disconnect().then(() => process.exit(0), fail))
  }
  await consumer.connect()
  await consumer.subscribe({ topic: request.topic, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
      if (!isRunning() || isStale()) return
      say({ records: batch.messages.map(message => [batch.partition, Number(message.offset), message.value.toString()]) })
      const next = (BigInt(batch.lastOffset()) + 1n).toString()
      try {
        await consumer.commitOffsets([{ topic: request.topic, partition: batch.partition, offset: next }])
      } catch (error) {
        say({ commit: error.message })
        throw error
      }
      resolveOffset(batch.lastOffset())
      await heartbeat()
    },
  })
}

run().catch(fail)

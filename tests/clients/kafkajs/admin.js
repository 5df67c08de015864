// One thing that kafkajs's admin client does, by the request's `do`.

const { request, kafka, fail, say } = require('./common')

const run = async () => {
  const admin = kafka.admin()
  await admin.connect()
  const { topic, partitions: count } = request
  const done = {
    create: () =>
      admin.createTopics({
        waitForLeaders: true,
        topics: [
          {
            topic,
            numPartitions: count,
            configEntries: Object.entries(request.config).map(([name, value]) => ({ name, value })),
          },
        ],
      }),
    grow: () => admin.createPartitions({ topicPartitions: [{ topic, count }] }),
    delete: () => admin.deleteTopics({ topics: [topic] }),
    groups: () => admin.listGroups(),
    describe: () => admin.describeGroups([request.group]),
  }
  const result = await done[request.do]()
  if (result !== undefined) {
    const plain = (_, value) => (value && value.type === 'Buffer' ? undefined : value)
    say(JSON.parse(JSON.stringify(result, plain)))
  }
  await admin.disconnect()
}

run().catch(fail)

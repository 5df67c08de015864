// Produces numbered messages, one request of 20 after another, until SIGTERM; says what was acknowledged.

const { request, kafka, fail, say } = require('./common')

let over = false
process.on('SIGTERM', () => (over = true))

const run = async () => {
  const producer = kafka.producer({
    idempotent: request.idempotent,
    maxInFlightRequests: 1,
    retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 1000 },
  })
  await producer.connect()
  for (let n = 0; !over; n += 20) {
    const messages = Array.from({ length: 20 }, (_, index) => ({ value: String(n + index) }))
    try {
      await producer.send({ topic: request.topic, messages, acks: -1 })
      say({ from: n, to: n + 20 })
    } catch (error) {
      say({ from: n, to: n + 20, failed: error.message })
    }
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  await producer.disconnect()
}

run().catch(fail)

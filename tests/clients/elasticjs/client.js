// What test_elastic.py asks of @elastic/elasticsearch: writes documents, reads them back in each way it knows, says what it got.

const { Client } = require('@elastic/elasticsearch')

const client = new Client({ node: process.argv[2], maxRetries: 0 })
const index = process.argv[3]

async function main () {
  const said = {}
  const documents = Array.from({ length: 250 }, (_, n) => ({
    '@timestamp': new Date(Date.UTC(2025, 10, 20, 10, 0, n)).toISOString(), n, parity: n % 2 ? 'odd' : 'even', message: `document ${n}`
  }))
  const bulk = await client.helpers.bulk({ datasource: documents, onDocument: () => ({ create: { _index: index } }), refreshOnCompletion: true })
  said.bulk = [bulk.total, bulk.failed]
  said.count = (await client.count({ index })).count
  const found = await client.search({
    index,
    query: { term: { parity: 'odd' } },
    sort: [{ n: 'desc' }],
    size: 2,
    aggs: { parities: { terms: { field: 'parity' }, aggs: { mean: { avg: { field: 'n' } } } } }
  })
  said.hits = found.hits.hits.map(hit => hit._source.n)
  said.total = found.hits.total.value
  said.buckets = found.aggregations.parities.buckets.map(bucket => [bucket.key, bucket.doc_count, bucket.mean.value])
  said.scrolled = 0
  for await (const document of client.helpers.scrollDocuments({ index, size: 60, query: { match_all: {} } })) {
    said.scrolled += document.n >= 0 ? 1 : 0
  }
  const searcher = client.helpers.msearch()
  const [odd, wrong] = await Promise.allSettled([
    searcher.search({ index }, { query: { term: { parity: 'odd' } }, size: 0 }),
    searcher.search({ index }, { query: { fuzzy: { parity: 'odd' } } })
  ])
  searcher.stop()
  said.msearch = [odd.value.body.hits.total.value, wrong.status]
  const pit = await client.openPointInTime({ index, keep_alive: '1m' })
  let after
  said.paged = []
  for (;;) {
    const page = await client.search({ pit: { id: pit.id, keep_alive: '1m' }, size: 100, sort: [{ '@timestamp': 'asc' }], search_after: after })
    if (page.hits.hits.length === 0) break
    said.paged.push(page.hits.hits.length)
    after = page.hits.hits.at(-1).sort
  }
  await client.closePointInTime({ id: pit.id })
  const part = await client.search({ index, size: 1, filter_path: 'hits.hits._source.n' })
  said.part = [Object.keys(part), Object.keys(part.hits.hits[0])]
  const got = await client.get({ index, id: found.hits.hits[0]._id })
  said.got = got._source.n
  said.exists = [await client.indices.exists({ index }), await client.indices.exists({ index: 'nowhere' })]
  said.fields = Object.keys((await client.fieldCaps({ index, fields: '*' })).fields).sort()
  said.cat = (await client.cat.indices({ index, format: 'json' })).map(row => [row.index, row['docs.count']])
  try {
    await client.search({ index, query: { nested: { path: 'a', query: { match_all: {} } } } })
  } catch (error) {
    said.refused = [error.statusCode, error.message.includes('nested')]
  }
  process.stdout.write(JSON.stringify(said))
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})

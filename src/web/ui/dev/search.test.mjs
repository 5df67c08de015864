// What lies below the rows, and how older ones come, against the mock: `npm test`.

import { strict as assert } from 'node:assert';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { mock } from './mock.mjs';

const ROWS = 3_000;
const server = mock(ROWS, { flowing: false });
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
after(() => {
  server.close();
  server.closeAllConnections();
});

// As far as the modules need a browser.
globalThis.innerWidth = 1200;
const ask = globalThis.fetch;
let asked = [];
let last = null;
let allowed = Infinity;
globalThis.fetch = async (path, init) => {
  const isRows = path.startsWith('/api/v1/query');
  if (isRows) asked.push(new URL(path, 'http://page').searchParams);
  if (isRows && allowed < Infinity) {
    const params = asked.at(-1);
    const limit = Math.min(allowed, Number(params.get('limit')));
    last = { limit };
    path = `/api/v1/query?${new URLSearchParams({ ...Object.fromEntries(params), limit })}`;
  }
  const response = await ask(`http://127.0.0.1:${server.address().port}${path}`, init);
  return isRows && last ? new Response(`${(await response.text()).trim()}\n${JSON.stringify({ _stats: last })}\n`) : response;
};

const src = join(dirname(fileURLToPath(import.meta.url)), '../src');
const contents = "export * as search from './search'; export * as state from './state';";
const built = await build({ stdin: { contents, resolveDir: src, loader: 'ts' }, bundle: true, write: false, format: 'esm', logLevel: 'error' });
const { search, state } = await import(`data:text/javascript;base64,${Buffer.from(built.outputFiles[0].contents).toString('base64')}`);

async function show(q, limit = 200) {
  state.asked.value = q;
  state.range.value = { kind: 'all' };
  state.limit.value = limit;
  last = null;
  await search.run();
  asked = [];
  assert.equal(search.problem.value, null);
  return [search.rows.value.length, search.ending.value];
}

test('rows as they are stored, and those of pipes that go row by row, go on to the last', async () => {
  for (const q of ['', 'response:200', '* | where verb:GET | fields _time, _topic, _partition, _offset, _n, verb']) {
    assert.deepEqual(await show(q), [200, 'older'], q);
    while (search.ending.value === 'older') await search.loadMore();
    const all = await (await ask(`http://127.0.0.1:${server.address().port}/api/v1/query?${new URLSearchParams({ q, limit: 100_000 })}`)).text();
    assert.equal(search.rows.value.length, all.trim().split('\n').length, q);
    assert.equal(new Set(search.rows.value.map(search.rowId)).size, search.rows.value.length, q);
    assert.equal(search.ending.value, 'all');
  }
});

test('a box that gives fewer rows than it is asked for does not end them', async () => {
  allowed = 150;
  assert.deepEqual(await show('response:200'), [150, 'older']);
  while (search.ending.value === 'older') await search.loadMore();
  const paged = search.rows.value.length;
  allowed = Infinity;
  assert.deepEqual(await show('response:200', 5000), [paged, 'all']);
});

test('where rows depend on one another they are not paged', async () => {
  for (const q of ['* | sort bytes', '* | dedup _offset', '* | where verb:GET | sort -_time']) {
    assert.deepEqual(await show(q), [200, 'cut'], q);
    await search.loadMore();
    assert.deepEqual([search.rows.value.length, search.ending.value, asked.length], [200, 'cut', 0], q);
    const [all, ending] = await show(q, 5000);
    assert.ok(all > 200 && ending === 'all', q);
  }
});

test('where the pipes say how many, that is all', async () => {
  for (const [q, rows] of [['* | limit 300', 300], ['* | sort bytes | limit 200', 200], ['* | limit 7', 7]]) {
    assert.deepEqual(await show(q), [rows, 'all'], q);
    await search.loadMore();
    assert.deepEqual([search.rows.value.length, asked.length], [rows, 0], q);
  }
  assert.equal((await show('* | stats count() by _offset'))[1], 'all');
});

test('rows without their time or origin are not paged', async () => {
  for (const q of ['* | fields verb', '* | fields _topic, _partition, _offset, _n', '* | fields _time, _offset, verb']) {
    assert.deepEqual(await show(q), [200, 'cut'], q);
    await search.loadMore();
    assert.equal(asked.length, 0, q);
  }
});

test('older rows of which some are missing are said to be so', async () => {
  await show('');
  last = { partial: true, note: 'no time' };
  await search.loadMore();
  assert.equal(search.stats.value.partial, true);
  assert.equal(search.stats.value.note, 'no time');
});

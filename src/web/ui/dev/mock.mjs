// A box made of paper: serves `dist/` under the strictest policy and answers the API from made-up rows, so that the page can
// be worked on and tested where nothing is built. `node dev/mock.mjs [PORT] [ROWS]`; 0 rows shows the page of an empty box.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { life } from './life.mjs';
import { Refused, parse, run } from './query.mjs';
import { accessRow, makeRows } from './rows.mjs';

const dist = join(dirname(fileURLToPath(import.meta.url)), '..', 'dist');
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TYPES = { html: 'text/html; charset=utf-8', js: 'text/javascript; charset=utf-8', css: 'text/css; charset=utf-8', svg: 'image/svg+xml' };
const started = Date.now();
const hex = (length) => Array.from({ length }, (_, at) => ((at * 7919 + length * 31) % 16).toString(16)).join('');

export function mock(total = 12_000, { flowing = true } = {}) {
  const rows = total ? makeRows(total) : [];
  const tails = new Set();
  const chains = {
    web: [{ filter: 'access-log', when: null, sha256: hex(64), config: {} }, { filter: 'drop', when: 'request:"/f5.txt"', sha256: hex(60) + '0a1b', config: {} }, { filter: 'tag', when: 'response:503', sha256: hex(62) + 'ff', config: { tag: 'zabbix-sender' } }],
    shop: [],
  };
  const generations = { web: 3, shop: 1 };
  const filters = new Map(['access-log', 'drop', 'grok', 'json', 'tag'].map((name, at) => [name, { name, sha256: hex(64 - at) + 'abcdef'.slice(0, at), stock: true, bytes: 41_000 + at * 13_337 }]));
  let arrived = rows.length;
  const lives = life({ chains, filters, generations, rows });

  const inSpan = (params) => {
    const from = params.get('from') ? Date.parse(params.get('from')) : -Infinity;
    const to = params.get('to') ? Date.parse(params.get('to')) : Infinity;
    const { matches, pipes } = parse(params.get('q') ?? '');
    return { pipes, found: rows.filter((row) => matches(row) && Date.parse(row._time) >= from && Date.parse(row._time) < to) };
  };

  const partitions = (name, count, more = {}) => Array.from({ length: count }, (_, partition) => {
    const high = name === 'web' ? Math.ceil(arrived / 2) : Math.floor(arrived / 12);
    return { partition, log_start: 0, high_watermark: high, bytes: high * 160, next: high, committed: Math.max(0, high - 40), lag_records: 0, generation: generations[name] ?? 1, state: 'running', last_error: null, ...more };
  });
  const topic = (name, count, chain, rowsOf, more = {}, lane = {}) => ({
    name, id: `id-${name}`, internal: false, partitions: partitions(name, count, lane), rows: rowsOf, store_bytes: rowsOf * 31, queue_bytes: rowsOf * 160, parts: rowsOf ? 6 : 0,
    generation: generations[name] ?? 1, chain, counters: { records: rowsOf + 312, stored: rowsOf, dropped: 312, failed: 0 }, ...more,
  });
  const topics = () => (total ? [
    topic('web', 2, chains.web, arrived),
    topic('shop', 1, chains.shop, Math.floor(arrived / 12)),
    topic('syslog', 1, [{ filter: 'grok', when: 'app:sshd', sha256: hex(63) + '1', config: { pattern: '%{IPORHOST:peer}' } }], 88_410, {}, { high_watermark: 120_118, next: 88_722, committed: 88_000, lag_records: 31_396, state: 'retrying', last_error: 'The filter grok trapped at offset 88,722 (out of fuel); the record went to _dead.syslog.' }),
    topic('_dead.syslog', 1, [], 3, { internal: true }, { high_watermark: 3, next: 3, committed: 3 }),
    topic('_out.zabbix', 1, [], 0, { internal: true }, { high_watermark: 61, next: 61, committed: 61, state: '' }),
  ] : []);

  const answers = {
    histogram(params) {
      const { found } = inSpan(params);
      const count = Number(params.get('buckets') ?? 60);
      const times = found.map((row) => Date.parse(row._time));
      const from = params.get('from') ? Date.parse(params.get('from')) : times.at(-1) ?? started;
      const to = params.get('to') ? Date.parse(params.get('to')) : (times[0] ?? started) + 1;
      const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 108e5, 216e5, 432e5, 864e5, 6048e5];
      const step = steps.find((one) => (to - from) / one <= count) ?? 6048e5;
      const buckets = new Map();
      for (const time of times) buckets.set(Math.floor(time / step) * step, (buckets.get(Math.floor(time / step) * step) ?? 0) + 1);
      return { from: new Date(from).toISOString(), to: new Date(to).toISOString(), step_ms: step, buckets: [...buckets].sort((a, b) => a[0] - b[0]).map(([time, hits]) => ({ time: new Date(time).toISOString(), count: hits })), total: found.length };
    },
    top(params) {
      const field = params.get('field');
      const counts = new Map();
      const having = inSpan(params).found.filter((row) => row[field] !== undefined);
      for (const row of having) for (const value of [row[field]].flat()) counts.set(value, (counts.get(value) ?? 0) + 1);
      const values = [...counts].sort((a, b) => b[1] - a[1]).slice(0, Number(params.get('limit') ?? 10)).map(([value, count]) => ({ value, count }));
      return { field, total: having.length, values };
    },
    fields(params) {
      const known = new Map();
      for (const row of inSpan(params).found) {
        for (const [name, value] of Object.entries(row)) {
          if (name.startsWith('_')) continue;
          const type = Array.isArray(value) ? 'list' : typeof value === 'number' ? (Number.isInteger(value) ? 'integer' : 'decimal') : typeof value === 'boolean' ? 'boolean' : 'string';
          const field = known.get(name) ?? { name, count: 0, types: new Set() };
          field.count++;
          field.types.add(type);
          known.set(name, field);
        }
      }
      return { fields: [...known.values()].sort((a, b) => a.name.localeCompare(b.name)).map((field) => ({ ...field, types: [...field.types] })) };
    },
    complete(params) {
      const text = Buffer.from(params.get('q') ?? '').subarray(0, Number(params.get('at') ?? Infinity)).toString();
      const end = Buffer.byteLength(text);
      const [, field, typed] = /(?:([\w.]+):=?)?([\w.]*)$/.exec(text);
      const listed = (kind, items, more = {}) => ({ kind, start: end - Buffer.byteLength(typed), end, partial: false, items: items.filter((item) => item.text.includes(typed)).sort((a, b) => Number(b.text.startsWith(typed)) - Number(a.text.startsWith(typed))), ...more });
      if (/\|\s*\w*$/.test(text)) return listed('pipe', ['where', 'stats', 'top', 'sort', 'limit', 'patterns'].map((name) => ({ text: name, insert: `${name} `, about: name })));
      if (field) return listed('value', answers.top(new URLSearchParams({ field, limit: 50 })).values.map(({ value, count }) => ({ text: String(value), insert: `${value} `, count })), { field });
      return listed('field', answers.fields(new URLSearchParams()).fields.map(({ name }) => ({ text: name, insert: text.includes('|') ? name : `${name}:` })));
    },
    context(params) {
      const same = params.get('same');
      const list = rows.filter((row) => row._topic === params.get('topic') && String(row._partition) === params.get('partition')).sort((a, b) => a._offset - b._offset);
      const row = list.find((one) => String(one._offset) === params.get('offset')) ?? null;
      const fits = (one) => !same || one[same] === row?.[same];
      const [before, after] = [list.filter((one) => one._offset < row?._offset && fits(one)), list.filter((one) => one._offset > row?._offset && fits(one))];
      return { before: before.slice(-Number(params.get('before'))), row, after: after.slice(0, Number(params.get('after'))) };
    },
    topics: () => ({ topics: topics() }),
    filters: () => ({ filters: [...filters.values()].map((filter, at) => ({ ...filter, version: 0, counters: at % 2 ? null : { records: 91_400 * (at + 1), stored: 90_100, dropped: 1_290, held: 0, failed: at, emissions: 0, calls: 1_400, traps: 0, fuel: 91_400 * 5_100, time_ns: 91_400 * 6_900, memory_bytes: 1_179_648, starts: 1 }, used_by: Object.keys(chains).filter((name) => chains[name].some((entry) => entry.filter === filter.name)) })) }),
    groups: () => ({ groups: total ? [{ group: '_lane', kind: 'lanes', state: 'Stable', protocol: '', generation: 1, members: 0, topics: ['web', 'shop'], lag_records: 0, lag_bytes: 0, lag_seconds: 0 }] : [] }),
    outputs: () => ({ outputs: total ? [
      { name: 'zabbix', type: 'zabbix', lag_records: 0, sent: 61, failed: 0, state: 'running', last_error: null },
      { name: 'pager', type: 'webhook', lag_records: 214, sent: 1_290, failed: 37, state: 'waiting', last_error: 'POST https://hooks.example.org/pager: connection refused; the next try is in 28 s.' },
    ] : [] }),
    status: () => ({ version: '0.1.0', uptime_seconds: (Date.now() - started) / 1000 + 93_784, data_dir: './sawbox-data', memory_bytes: 58_400_000, disk: { available: 61.2e9, total: 98.4e9 },
      listeners: [{ name: 'page and API', address: '127.0.0.1:7800' }, { name: 'Beats (Lumberjack)', address: '127.0.0.1:5044' }, { name: 'Elasticsearch dialect', address: '127.0.0.1:9200' }, { name: 'syslog TCP', address: '127.0.0.1:5514' }, { name: 'syslog UDP', address: '127.0.0.1:5514' }] }),
  };

  function arrive(row = accessRow(Date.now(), arrived++)) {
    rows.unshift(row);
    for (const tail of tails) if (tail.matches(row)) tail.response.write(`${JSON.stringify(row)}\n`);
  }
  const timer = total && flowing ? setInterval(() => { for (let count = 0; count < 3; count++) arrive(); }, 300) : null;

  const body = async (request) => {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    return Buffer.concat(pieces);
  };

  async function api(request, response, path, params) {
    const json = (value, code = 200) => {
      response.writeHead(code, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    if (path === 'query') {
      const { pipes, found } = inSpan(params);
      // As in the box, the limit of the request counts where the pipes say nothing of it.
      const most = pipes.some(({ name }) => ['limit', 'stats'].includes(name)) ? Infinity : Number(params.get('limit') ?? 100);
      const out = run(pipes, found).slice(0, most);
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      for (let at = 0; at < out.length; at += 50) response.write(out.slice(at, at + 50).map((row) => `${JSON.stringify(row)}\n`).join(''));
      return response.end(params.get('stats') ? `${JSON.stringify({ _stats: { rows_scanned: rows.length, groups_skipped: 3 } })}\n` : '');
    }
    if (path === 'tail') {
      const tail = { response, matches: parse(params.get('q') ?? '').matches };
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.flushHeaders();
      tails.add(tail);
      return request.on('close', () => tails.delete(tail));
    }
    if (path.startsWith('ingest/') && request.method === 'POST') {
      const lines = (await body(request)).toString().split('\n').filter(Boolean);
      for (const message of lines) arrive({ _time: new Date().toISOString(), _topic: path.slice(7), _partition: 0, _offset: arrived++, _n: 0, _generation: 1, message });
      return json({ accepted: lines.length, rejected: 0 });
    }
    const put = /^(filters|topics)\/([^/]+)(\/chain)?$/.exec(path);
    if (put && request.method === 'PUT') {
      const name = decodeURIComponent(put[2]);
      const sent = await body(request);
      if (put[1] === 'filters' && params.get('promote') === 'false' && sent.length >= 8) return json(lives.put(name, sent.length, 'drop'));
      if (put[1] === 'filters') {
        if (sent.length < 8) return json({ error: { message: `The module ${name} was refused: it ends in the middle of its header. The running one stays.` } }, 400);
        const used = Object.keys(chains).filter((topic_) => chains[topic_].some((entry) => entry.filter === name));
        filters.set(name, { name, sha256: hex(64), stock: false, bytes: sent.length });
        return json({ name, sha256: hex(64), generations: used.map((topic_) => ({ topic: topic_, generation: ++generations[topic_] })) });
      }
      const chain = JSON.parse(sent.toString());
      const unknown = chain.find((entry) => !filters.has(entry.filter));
      if (unknown) return json({ error: { message: `No filter is called “${unknown.filter}”.` } }, 400);
      chains[name] = chain;
      generations[name]++;
      return json({ topic: name, generation: generations[name] });
    }
    const sent = request.method === 'POST' ? JSON.parse((await body(request)).toString() || '{}') : {};
    const told = lives.answer(request.method, path, sent);
    if (told) return json(...told);
    if (!(path in answers)) return json({ error: { message: `Nothing is at ${path}.` } }, 404);
    return json(answers[path](params));
  }

  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://mock');
    void (async () => {
      try {
        if (pathname.startsWith('/api/v1/')) return await api(request, response, pathname.slice(8), searchParams);
        const name = pathname === '/' ? 'index.html' : pathname.replace(/^\/assets\//, '');
        if (!/^[\w.]+$/.test(name)) throw new Error(name);
        const bytes = await readFile(join(dist, name));
        response.writeHead(200, { 'content-type': TYPES[name.split('.').pop()], 'content-security-policy': POLICY, 'cache-control': 'no-cache' });
        response.end(bytes);
      } catch (error) {
        response.writeHead(error instanceof Refused ? 400 : 404, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ error: { message: error.message, position: error.position } }));
      }
    })();
  });
  server.on('close', () => clearInterval(timer));
  return server;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const port = Number(process.argv[2] ?? 7801);
  mock(Number(process.argv[3] ?? 12_000)).listen(port, '127.0.0.1', () => console.log(`http://127.0.0.1:${port}/`));
}

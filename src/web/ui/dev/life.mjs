// The life of filters in the box made of paper: generations, versions, trials over its rows, replays that take a moment,
// explanations. Only `drop` and `tag` do anything, where their `when` holds; that is enough to see every part of the view.

import { parse } from './query.mjs';

const raw = (row) => ({ text: row.message ?? JSON.stringify(row), bytes: (row.message ?? '').length });
const own = (row) => Object.fromEntries(Object.entries(row).filter(([name]) => !name.startsWith('_') || name === '_time'));

function pass(chain, row) {
  const fields = own(row);
  const steps = [];
  let ended = null;
  for (const { filter, version = 0, when = null, config } of chain) {
    const step = { filter, version, when, outcome: 'passed', reason: null, added: {}, changed: {}, removed: {}, emissions: [], log: [], fuel: 0, time_ns: 0, records: 1, call_fuel: 0 };
    if (ended) step.outcome = 'not_reached';
    else if (when && !parse(when).matches(row)) step.outcome = 'not_selected';
    else {
      Object.assign(step, { fuel: 1_200 + filter.length * 317, call_fuel: 90_000, time_ns: 4_700, records: 64 });
      if (filter === 'drop') [step.outcome, step.reason, ended] = ['dropped', 'dropped', filter];
      else if (filter === 'tag') fields.tags = step.added.tags = [config?.add ?? config?.tag ?? 'tagged'].flat().join(' ');
      else Object.assign(step.added, filter === chain[0].filter ? own(row) : {});
    }
    steps.push(step);
  }
  return { steps, outcome: ended ? { verdict: 'drop', reason: 'dropped' } : { verdict: 'store', fields } };
}

function report(live, candidate, rows) {
  const found = { records: 0, same: 0, changed: 0, newly_dropped: 0, newly_kept: 0, newly_failed: 0, mended: 0, emissions_differ: 0, unreadable: 0, deleted: 0, waited: { live: 0, candidate: 0 }, fields: {}, emissions: {}, drop_reasons: {}, fail_reasons: {}, examples: [], unsteady: null };
  const cost = (chain) => ({ fuel: rows.length * chain.length * 2_100, fuel_per_record: chain.length * 2_100, ns_per_record: chain.length * 3_300, calls: chain.length * 8, traps: 0 });
  for (const row of rows) {
    const [old, now] = [pass(live, row).outcome, pass(candidate, row).outcome];
    const at = { partition: row._partition, offset: row._offset };
    found.records++;
    let kind = 'same';
    if (old.verdict !== now.verdict) kind = now.verdict === 'drop' ? 'newly_dropped' : 'newly_kept';
    else if (JSON.stringify(old) !== JSON.stringify(now)) kind = 'changed';
    found[kind]++;
    if (kind === 'newly_dropped') found.drop_reasons.dropped = (found.drop_reasons.dropped ?? 0) + 1;
    if (kind === 'changed') {
      for (const name of new Set([...Object.keys(old.fields), ...Object.keys(now.fields)])) {
        if (JSON.stringify(old.fields[name]) === JSON.stringify(now.fields[name])) continue;
        const field = (found.fields[name] ??= { added: 0, removed: 0, changed: 0, examples: [] });
        field[old.fields[name] === undefined ? 'added' : now.fields[name] === undefined ? 'removed' : 'changed']++;
        if (field.examples.length < 3) field.examples.push({ ...at, old: old.fields[name] ?? null, new: now.fields[name] ?? null });
      }
    }
    if (kind !== 'same' && found.examples.filter((one) => one.kind === kind).length < 5) found.examples.push({ kind, ...at, old, new: now, raw: raw(row) });
  }
  return { ...found, live: cost(live), candidate: cost(candidate) };
}

/** Answers what it knows of; undefined where a path is none of its own. */
export function life({ chains, filters, generations, rows }) {
  const began = new Date().toISOString();
  const history = Object.fromEntries(Object.entries(chains).map(([topic, chain]) => [topic, [{ generation: generations[topic], made_by: 'config', why: null, at: began, from: [{ partition: 0, offset: 0 }], ranges: [], codec: null, chain }]]));
  const versions = new Map();
  const trials = [];
  const replays = [];
  const refuse = (message, code = 400) => [{ error: { message } }, code];
  const full = (chain) => chain.map((entry) => ({ when: null, config: {}, version: 0, ...entry, sha256: filters.get(entry.filter)?.sha256 ?? '' }));
  const unknown = (chain) => chain.find((entry) => !filters.has(entry.filter.split('@')[0]));
  const of = (topic, body) => (body.chain ? full(body.chain) : full(chains[topic]).map((entry) => (entry.filter === body.filter ? { ...entry, ...body, filter: versions.get(body.filter)?.[body.version]?.acts ?? entry.filter } : entry)));
  const open = (topic, chain, more) => {
    chains[topic] = chain;
    history[topic].push({ generation: ++generations[topic], made_by: 'hot', why: null, at: new Date().toISOString(), from: [{ partition: 0, offset: rows.length }], ranges: [], codec: null, chain, ...more });
    return [{ topic, generation: generations[topic], from: [] }];
  };
  const replayed = (one) => {
    const share = one.state === 'running' ? Math.min(1, (Date.now() - one.at) / 1_500) : one.share;
    Object.assign(one, { share, state: one.state === 'running' && share === 1 ? 'done' : one.state });
    const { at, ...shown } = one;
    const done = Math.floor(one.offsets * share);
    return { ...shown, percent: share * 100, offsets_done: done, records: done, stored: done, began: new Date(at).toISOString(), ended: null, eta_seconds: one.state === 'running' ? 2 : null };
  };
  const of_version = (name) => versions.get(name) ?? [{ version: 0, sha256: filters.get(name).sha256, bytes: filters.get(name).bytes, stock: true, current: true, at: null, by: null, compile_ns: null, used_by: Object.keys(chains).filter((topic) => chains[topic].some((entry) => entry.filter === name)).map((topic) => ({ topic, generations: [generations[topic]], live: true })) }];

  function put(name, bytes, acts) {
    const all = of_version(name);
    const version = { version: all.length, sha256: `${all.length}`.repeat(64), bytes, stock: false, current: false, at: new Date().toISOString(), by: 'api', compile_ns: 41_000_000, used_by: [], acts };
    versions.set(name, [...all, version]);
    return { name, version: version.version, sha256: version.sha256, current: false, compile_ns: version.compile_ns, generations: [] };
  }

  function answer(method, path, body) {
    const [house, name, what, more] = path.split('/').map(decodeURIComponent);
    if (house === 'filters' && what === 'versions') return filters.has(name) ? [{ name, versions: of_version(name) }] : refuse(`there is no filter \`${name}\``, 404);
    if (house === 'topics' && what === 'chain' && method === 'GET') return [{ topic: name, generation: generations[name], codec: null, chain: full(chains[name]) }];
    if (house === 'topics' && what === 'generations') return [{ topic: name, generations: history[name].map((one) => ({ ...one, chain: full(one.chain), live: one.generation === generations[name] })) }];
    if (house === 'topics' && (what === 'promote' || what === 'trial')) {
      const strange = body.chain && unknown(body.chain);
      if (strange) return refuse(`there is no filter \`${strange.filter}\``);
      const chain = of(name, body);
      if (what === 'promote') return open(name, chain);
      const tried = rows.filter((row) => row._topic === name).slice(0, body.last?.records ?? 1_000);
      trials.push({ id: `trial-${trials.length + 1}`, topic: name, what: body.chain ? 'another chain' : body.filter, state: 'done', error: null, tried: tried.length, of: tried.length, at: new Date().toISOString(), took_ms: 412, live: { generation: generations[name], chain: full(chains[name]) }, candidate: { generation: null, chain }, ranges: [], report: report(full(chains[name]), chain, tried) });
      return [trials.at(-1), 202];
    }
    if (house === 'topics' && what === 'rollback') return open(name, history[name].find((one) => one.generation === body.to).chain, { why: `rolled back to generation ${body.to}` });
    if (house === 'topics' && what === 'replay') {
      const ranges = [{ partition: 0, first: 0, end: rows.length }];
      if (body.dry_run) return [{ topic: name, plan: { ranges, records: rows.length, past: { ranges: [], records: 0, rows_left: 0, notes: [] }, out_of_reach: [], same: [], chain: chains[name].map((entry) => entry.filter) } }];
      replays.push({ id: replays.length + 1, topic: name, state: 'running', generation: generations[name], chain: chains[name].map((entry) => entry.filter), offsets: rows.length, bytes: 0, records_per_second: 4_000, bytes_per_second: null, dropped: 0, failed: 0, deleted: 0, routed: 0, rebuilt: 0, waits_for: null, why: null, out_of_reach: [], at: Date.now(), share: 0 });
      return [replayed(replays.at(-1)), 202];
    }
    if (house === 'trials') {
      const at = trials.findIndex((one) => one.id === name);
      if (!name) return [{ trials }];
      if (at < 0) return refuse('there is no such trial any more', 404);
      return [method === 'DELETE' ? trials.splice(at, 1)[0] : trials[at]];
    }
    if (house === 'replays') {
      const one = replays.find(({ id }) => id === Number(name));
      if (!name) return [{ replays: replays.map(replayed) }];
      if (what) one.state = { pause: 'paused', resume: 'running', cancel: 'cancelled' }[what];
      return [replayed(one)];
    }
    if (house === 'explain') {
      const row = rows.find((other) => other._topic === name && other._partition === Number(what) && other._offset === Number(more));
      if (!row) return refuse(`there is no record ${more}`, 404);
      const { steps, outcome } = pass(full(chains[name] ?? []), row);
      return [{ topic: name, partition: row._partition, offset: row._offset, summary: outcome.verdict === 'drop' ? 'dropped by drop' : 'stored, as its chain makes it', generation: generations[name], chain: full(chains[name] ?? []), codec: null, document: null, call: { first: row._offset, last: row._offset, records: 1 }, before: {}, steps, sent: [], notes: [],
        record: { payload: raw(row), key: null, headers: [['host', row.host ?? 'web1']], arrival: row._time, timestamp_ms: 0, receiver: 'lumberjack', peer: '192.0.2.7' }, ended: outcome.verdict === 'drop' ? { kind: 'dropped', filter: 'drop', reason: 'dropped', stored: null } : { kind: 'stored', is: 'same', row: outcome.fields, stored: row, differences: [] } }];
    }
    return undefined;
  }
  return { answer, put };
}

// A small reading of the query language for the mock: enough to develop and test the page, never the measure of what the box does.

export class Refused extends Error {
  constructor(message, position) {
    super(message);
    this.position = position;
  }
}

const bytesBefore = (text, at) => Buffer.byteLength(text.slice(0, at));

function tokens(text) {
  const found = [];
  const pattern = /\s+|"(?:[^"\\]|\\.)*"?|[()[\]{}|,]|[:<>=!]+|-(?=\S)|[^\s()[\]{}|,:<>=!"]+/gy;
  let piped = false;
  for (let match; (match = pattern.exec(text)); ) {
    const [value] = match;
    if (/^\s/.test(value)) continue;
    if (value === '|') piped = true;
    if (value[0] === '"' && (value.length < 2 || !value.endsWith('"'))) throw new Refused('This quotation mark is never closed.', bytesBefore(text, match.index));
    const glued = found.at(-1);
    const negative = value === '-' && glued && glued.end === match.index && !/^[(|]$/.test(glued.text);
    if (negative && !piped) glued.text += '-';
    else found.push({ text: value, at: match.index, end: match.index + value.length });
  }
  return found;
}

const unquote = (text) => (text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, '$1') : text);
const escape = (text) => text.replace(/[.+^${}()|[\]\\]/g, '\\$&');

function holds(value, test) {
  return Array.isArray(value) ? value.some((one) => test(one)) : value !== undefined && value !== null && test(value);
}

function wordTest(text, quoted) {
  if (!quoted && /[*?]/.test(text)) {
    const pattern = new RegExp(`^${escape(text).replace(/\*/g, '.*').replace(/\?/g, '.')}$`, 'is');
    return (value) => pattern.test(String(value));
  }
  const lead = /^[\p{L}\p{N}_]/u.test(text) ? '(?<![\\p{L}\\p{N}_])' : '';
  const tail = /[\p{L}\p{N}_]$/u.test(text) ? '(?![\\p{L}\\p{N}_])' : '';
  const pattern = new RegExp(`${lead}${text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}${tail}`, 'iu');
  return (value) => (typeof value === 'number' ? String(value) === text : pattern.test(String(value)));
}

function compare(operator, text) {
  const limit = Number(text);
  const pair = (value) => (Number.isFinite(limit) ? [Number(value), limit] : [String(value), text]);
  return {
    '>': (value) => pair(value)[0] > pair(value)[1], '>=': (value) => pair(value)[0] >= pair(value)[1],
    '<': (value) => pair(value)[0] < pair(value)[1], '<=': (value) => pair(value)[0] <= pair(value)[1],
  }[operator];
}

export function parse(text) {
  const list = tokens(text);
  let at = 0;
  const peek = () => list[at]?.text;
  const fail = (message, token = list[at]) => {
    throw new Refused(message, token ? bytesBefore(text, token.at) : Buffer.byteLength(text));
  };
  const value = () => {
    const token = list[at];
    if (!token || /^[)|\]}:<>=!]+$/.test(token.text)) fail('A value is missing here.');
    at++;
    return token.text;
  };
  const term = () => {
    const token = list[at];
    if (!token) fail('A term is missing here.');
    if (token.text === '(') {
      at++;
      const inside = either();
      if (peek() !== ')') fail('This bracket is never closed.', token);
      at++;
      return inside;
    }
    if (/^[)\]}:<>=!]/.test(token.text)) fail(`“${token.text}” cannot stand here.`);
    at++;
    const next = peek();
    if (!next || !/^[:<>=!]+$/.test(next)) {
      if (token.text === '*') return () => true;
      const test = wordTest(unquote(token.text), token.text[0] === '"');
      return (row) => holds(row.message, test);
    }
    const name = unquote(token.text);
    const operator = list[at++].text;
    if (!/^(:|:=|:?[<>]=?)$/.test(operator)) fail(`“${operator}” is no comparison.`, list[at - 1]);
    if (/[<>]/.test(operator)) {
      const test = compare(operator.replace(':', ''), unquote(value()));
      return (row) => holds(row[name], test);
    }
    if (operator === ':=') {
      const wanted = unquote(value());
      return (row) => holds(row[name], (one) => String(one) === wanted);
    }
    if (peek() === '[' || peek() === '{') {
      const open = list[at++].text;
      const low = value();
      if (peek() !== 'TO') fail('A range is written [1 TO 5].');
      at++;
      const high = value();
      const close = list[at++]?.text;
      if (close !== ']' && close !== '}') fail('This range is never closed.', list[at - 1]);
      return (row) => holds(row[name], (one) => (low === '*' || compare(open === '[' ? '>=' : '>', low)(one)) && (high === '*' || compare(close === ']' ? '<=' : '<', high)(one)));
    }
    const wanted = value();
    if (wanted === '*') return (row) => row[name] !== undefined;
    const test = wordTest(unquote(wanted), wanted[0] === '"');
    return (row) => holds(row[name], test);
  };
  const not = () => {
    if (peek() === '-' || /^not$/i.test(peek() ?? '')) {
      at++;
      const inside = not();
      return (row) => !inside(row);
    }
    return term();
  };
  const both = () => {
    const parts = [not()];
    while (peek() && !/^(\)|\||or)$/i.test(peek())) {
      if (/^and$/i.test(peek())) at++;
      parts.push(not());
    }
    return (row) => parts.every((part) => part(row));
  };
  const either = () => {
    const parts = [both()];
    while (/^or$/i.test(peek() ?? '')) {
      at++;
      parts.push(both());
    }
    return (row) => parts.some((part) => part(row));
  };
  const matches = !list.length || peek() === '|' ? () => true : either();
  if (at < list.length && peek() !== '|') fail(`“${peek()}” cannot stand here.`);
  const pipes = [];
  while (at < list.length) {
    at++;
    const name = list[at];
    if (!name || !['stats', 'sort', 'limit', 'fields', 'where', 'dedup'].includes(name.text)) fail('A pipe goes on with stats, sort, limit, fields, where or dedup.', name);
    at++;
    let rest = '';
    const from = list[at]?.at ?? text.length;
    while (at < list.length && peek() !== '|') rest = text.slice(from, list[at++].end);
    pipes.push({ name: name.text, rest: rest.trim() });
  }
  return { matches, pipes };
}

const FUNCTIONS = {
  count: (rows) => rows.length,
  sum: (rows, field) => rows.reduce((sum, row) => sum + (Number(row[field]) || 0), 0),
  avg: (rows, field) => FUNCTIONS.sum(rows, field) / Math.max(1, rows.filter((row) => row[field] !== undefined).length),
  min: (rows, field) => Math.min(...rows.map((row) => Number(row[field])).filter(Number.isFinite)),
  max: (rows, field) => Math.max(...rows.map((row) => Number(row[field])).filter(Number.isFinite)),
};

export function run(pipes, rows) {
  for (const { name, rest } of pipes) {
    if (name === 'limit') rows = rows.slice(0, Number(rest));
    if (name === 'where') rows = rows.filter(parse(rest).matches);
    if (name === 'dedup') rows = [...new Map(rows.map((row) => [row[rest], row]).reverse()).values()].reverse();
    if (name === 'fields') rows = rows.map((row) => Object.fromEntries(rest.split(/\s*,\s*/).filter((field) => field in row).map((field) => [field, row[field]])));
    if (name === 'sort') {
      const down = rest.startsWith('-');
      const field = rest.replace(/^-/, '');
      rows = [...rows].sort((a, b) => (a[field] < b[field] ? -1 : a[field] > b[field] ? 1 : 0) * (down ? -1 : 1));
    }
    if (name === 'stats') {
      const [calls, by = ''] = rest.split(/\s+by\s+/);
      const keys = by.split(/\s*,\s*/).filter(Boolean);
      const groups = new Map();
      for (const row of rows) {
        const key = JSON.stringify(keys.map((field) => row[field] ?? null));
        groups.set(key, (groups.get(key) ?? []).concat(row));
      }
      rows = [...groups].map(([key, members]) => {
        const out = Object.fromEntries(keys.map((field, at) => [field, JSON.parse(key)[at]]));
        for (const call of calls.split(/\s*,\s*(?![^(]*\))/)) {
          const [, made, field] = /^(\w+)\((\w*)\)$/.exec(call) ?? [];
          if (made in FUNCTIONS) out[call] = FUNCTIONS[made](members, field);
        }
        return out;
      });
    }
  }
  return rows;
}

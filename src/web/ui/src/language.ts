// The query language as far as the page needs it: cut into coloured pieces, the predicate before the first pipe, clauses
// put in and taken out. The box alone decides what a query means.

export type PieceKind = 'space' | 'word' | 'field' | 'operator' | 'string' | 'number' | 'logic' | 'pipe' | 'command' | 'bracket';
export interface Piece { kind: PieceKind; text: string; start: number }

const COMMANDS = new Set(['where', 'stats', 'timeseries', 'top', 'rare', 'sort', 'limit', 'head', 'fields', 'dedup', 'eval', 'extract', 'rename', 'lookup', 'patterns']);
const OPERATORS = ':<>=!~';

/** The end of a quoted string that begins at `start`: behind the closing quote, or the end of the text. */
function quoteEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === text[start]) return at + 1;
  }
  return text.length;
}

/** The end of a bare word: at a blank or one of `stops`; a backslash takes the next character with it. */
function bareEnd(text: string, start: number, stops: string): number {
  for (let at = start; at < text.length; at++) {
    const char = text[at] as string;
    if (char === '\\') at++;
    else if (at > start && (/\s/.test(char) || stops.includes(char))) return at;
  }
  return text.length;
}

export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let piped = false;
  let inRange = false;
  let at = 0;
  const push = (kind: PieceKind, end: number): void => {
    found.push({ kind, text: text.slice(at, end), start: at });
    at = end;
  };
  while (at < text.length) {
    const char = text[at] as string;
    const last = found.at(-1);
    const isValue = !piped && last?.kind === 'operator';
    const begins = !last || last.kind === 'space' || last.text === '(' || last.kind === 'pipe';
    if (/\s/.test(char)) {
      const end = text.slice(at).search(/\S/);
      push('space', end < 0 ? text.length : at + end);
    } else if (char === '"' || (char === "'" && (begins || last.kind === 'operator'))) {
      const end = quoteEnd(text, at);
      push(!isValue && OPERATORS.includes(text[end] ?? ' ') ? 'field' : 'string', end);
    } else if (/^(\|\||&&)/.test(text.slice(at))) push('logic', at + 2);
    else if (char === '|') {
      piped = true;
      push('pipe', at + 1);
    } else if (char === '(' || char === ')' || char === ',' || ((char === '[' || char === '{') && isValue)) {
      inRange = char === '[' || char === '{';
      push('bracket', at + 1);
    } else if (inRange && (char === ']' || char === '}')) {
      inRange = false;
      push('bracket', at + 1);
    } else if (begins && (char === '-' || char === '!') && !piped && /\S/.test(text[at + 1] ?? ' ')) push('logic', at + 1);
    else if (OPERATORS.includes(char) && !isValue) {
      let end = at + 1;
      while (OPERATORS.includes(text[end] ?? ' ')) end++;
      push('operator', end);
    } else {
      const end = bareEnd(text, at, piped ? `"()|,${OPERATORS}-` : inRange ? '"()|]}' : isValue ? '"()|' : `"()|${OPERATORS}`);
      push(kindOf(text.slice(at, end), found, text[end] ?? ' ', piped, inRange), end);
    }
  }
  return found;
}

function kindOf(word: string, found: Piece[], next: string, piped: boolean, inRange: boolean): PieceKind {
  const before = found.findLast((piece) => piece.kind !== 'space');
  if (piped && (before?.kind === 'pipe' ? COMMANDS.has(word) : next === '(')) return 'command';
  if (before?.kind !== 'operator' && ((/^(and|or|not)$/i.test(word) && !OPERATORS.includes(next)) || (piped && /^(by|as|asc|desc|on|of|from|span)$/i.test(word)) || (inRange && /^to$/i.test(word)))) return 'logic';
  if (/^-?[0-9]+(\.[0-9]+)?$/.test(word)) return 'number';
  return !inRange && OPERATORS.includes(next) && found.at(-1)?.kind !== 'operator' ? 'field' : 'word';
}

/** The pieces but for blanks, each with how many parentheses it stands in; a parenthesis itself stands outside. */
function nested(text: string): (Piece & { depth: number })[] {
  let depth = 0;
  return pieces(text).filter((piece) => piece.kind !== 'space').map((piece) => {
    if (piece.text === ')') depth = Math.max(0, depth - 1);
    return { ...piece, depth: piece.text === '(' ? depth++ : depth };
  });
}

/** Where the first pipe stands, or the end of the text. */
function pipeAt(text: string): number {
  return nested(text).find((piece) => piece.kind === 'pipe' && piece.depth === 0)?.start ?? text.length;
}

/** The part before the pipes: what decides which rows there are. */
export const predicate = (text: string): string => text.slice(0, pipeAt(text)).trim();
const pipes = (text: string): string => text.slice(pipeAt(text)).trim();
/** Whether the answer is a table rather than rows with lineage. */
export const isTable = (text: string): boolean => /^\|\s*(.*\|\s*)?(stats|timeseries|fields|top|rare|patterns)\b/s.test(pipes(text));
/** Whether rows as they are stored answer it, one by one: then they can be followed. */
export const isPlain = (text: string): boolean => pipes(text) === '';

/** What the pipes are called, in their order; the box reads them in any case. */
function commands(text: string): string[] {
  const list = nested(text);
  return list.flatMap((piece, at) => (piece.kind === 'pipe' && piece.depth === 0 ? [list[at + 1]?.text.toLowerCase() ?? ''] : []));
}

const ROW_BY_ROW = new Set(['where', 'search', 'eval', 'extract', 'rename', 'lookup', 'fields']);
const HOW_MANY = new Set(['limit', 'head', 'stats', 'timeseries', 'top', 'rare', 'patterns']);
/** Whether what comes of a row depends on no other row: then the answers for two spans of time make up that for both. */
export const isRowByRow = (text: string): boolean => commands(text).every((name) => ROW_BY_ROW.has(name));
/** Whether the pipes say how many rows there are, or make others of them: then the box does not look at the limit of the request. */
export const saysHowMany = (text: string): boolean => commands(text).some((name) => HOW_MANY.has(name));

/** The fields that the last `stats` of a query groups by, as they were written; null when there is none. */
export function groupedBy(text: string): string[] | null {
  const list = pieces(text).filter((piece) => piece.kind !== 'space');
  const at = list.findLastIndex((piece) => piece.kind === 'command' && piece.text === 'stats');
  if (at < 0) return null;
  const end = list.findIndex((piece, index) => index > at && piece.kind === 'pipe');
  const by = list.findIndex((piece, index) => index > at && piece.kind === 'logic' && /^by$/i.test(piece.text));
  if (by < 0 || (end >= 0 && by > end)) return [];
  const names: string[] = [''];
  let depth = 0;
  for (const piece of list.slice(by + 1, end < 0 ? undefined : end)) {
    if (piece.text === '(') depth++;
    if (piece.text === ')') depth--;
    if (piece.text === ',' && depth === 0) names.push('');
    else names[names.length - 1] += unquoted(piece.text);
  }
  return names.filter(Boolean);
}

/** The query before its last `stats`: which rows there are, and what is done with them first. */
export function beforeStats(text: string): string {
  const list = pieces(text);
  const at = list.findLastIndex((piece) => piece.kind === 'command' && piece.text === 'stats');
  const pipe = list.findLast((piece, index) => index < at && piece.kind === 'pipe');
  return text.slice(0, pipe?.start ?? pipeAt(text)).trim();
}

/** The query for the rows that one line of `stats` counts, by the values of its keys. */
export function rowsBehind(text: string, keys: [string, unknown][]): string {
  const before = beforeStats(text);
  const wanted = keys.map(([name, value]) => clause(name, value)).join(' ');
  return pipes(before) === '' ? [besides(before), wanted].filter(Boolean).join(' ') : `${before} | where ${wanted}`;
}

/** A position in the text as the box counts it, in bytes. */
export const byteAt = (text: string, at: number): number => new TextEncoder().encode(text.slice(0, at)).length;

/** A byte position of the box's, as a position in the text. */
export function charAt(text: string, byte: number): number {
  const encoder = new TextEncoder();
  let bytes = 0;
  let at = 0;
  for (const char of text) {
    if (bytes >= byte) return at;
    bytes += encoder.encode(char).length;
    at += char.length;
  }
  return text.length;
}

/** What to underline for an error at `at`: the piece that stands there, or the last one when it is the end that is wrong. */
export function errorSpan(text: string, at: number): [number, number] {
  const solid = pieces(text).filter((piece) => piece.kind !== 'space');
  const hit = solid.find((piece) => at < piece.start + piece.text.length) ?? solid.at(-1);
  return hit ? [Math.max(hit.start, Math.min(at, hit.start + hit.text.length - 1)), hit.start + hit.text.length] : [0, text.length];
}

const quote = (text: string): string => `"${text.replace(/\\/g, '\\\\').replace(/"/g, '\\"')}"`;
const fieldName = (name: string): string => (/^[\p{L}_@][\p{L}\p{N}_@.-]*$/u.test(name) ? name : quote(name));

/** The clause that finds exactly this value. */
export function clause(field: string, value: unknown): string {
  const name = fieldName(field);
  if (value === null || value === undefined) return `not ${name}:*`;
  if (typeof value === 'number' || typeof value === 'boolean') return `${name}:${value}`;
  const text = String(value);
  if (field === '_time') return `${name}:${quote(text)}`;
  if (/^-?[0-9]{1,19}$/.test(text) && field.startsWith('_')) return `${name}:${text}`;
  return `${name}:=${/^[\p{L}][\p{L}\p{N}_]*$/u.test(text) && !/^(and|or|not|to)$/i.test(text) ? text : quote(text)}`;
}

const negated = (text: string): string => (text.startsWith('not ') ? text.slice(4) : `-${text}`);

const endOf = (piece: Piece): number => piece.start + piece.text.length;
const isLogic = (piece: Piece | undefined, words: RegExp): boolean => piece?.kind === 'logic' && words.test(piece.text);

/** Whether the text is one thing or another: a condition beside it would belong to the last of them alone. */
const isEither = (text: string): boolean => nested(text).some((piece) => piece.depth === 0 && isLogic(piece, /^(or|\|\|)$/i));

/** Takes a clause out where it is one of those that all have to hold. Elsewhere it is part of something else, and stays. */
function without(text: string, gone: string): string {
  if (isEither(text)) return text;
  const list = nested(text);
  for (const [at, piece] of list.entries()) {
    if (piece.depth > 0 || !text.startsWith(gone, piece.start)) continue;
    const end = piece.start + gone.length;
    const last = list.findIndex((other) => endOf(other) === end);
    const [before, after] = [list[at - 1], list[last + 1]];
    if (last < at || (before && endOf(before) === piece.start) || after?.start === end) continue;
    const joined = isLogic(before, /^(and|&&)$/i);
    if (before && !joined && (['logic', 'operator'].includes(before.kind) || /^[[{]$/.test(before.text))) continue;
    // One `and` goes with it, and the blank on that side.
    const ahead = joined ? list[at - 2] : before;
    const behind = isLogic(after, /^(and|&&)$/i) ? list[last + 2] : after;
    return without(ahead ? text.slice(0, endOf(ahead)) + text.slice(end) : text.slice(behind?.start ?? text.length), gone);
  }
  return text;
}

/** A predicate as it stands beside others. */
const besides = (head: string): string => (head === '*' ? '' : isEither(head) ? `(${head})` : head);

/** The query with one more condition: only this value, or not this value. Its opposite goes, where it can. */
export function narrowed(text: string, field: string, value: unknown, keep: boolean): string {
  const positive = clause(field, value);
  const wanted = keep ? positive : negated(positive);
  let head = predicate(text);
  head = without(without(head, keep ? negated(positive) : positive), wanted);
  return [[besides(head), wanted].filter(Boolean).join(' '), pipes(text)].filter(Boolean).join(' ');
}

/** What is to be marked in the message; whether it stands for itself there, or other characters of a word may go before or after it. */
export interface Needle {
  text: string;
  openBefore: boolean;
  openAfter: boolean;
}

/** Words, phrases and values the query looks for, but for the origin's: that is not in the message. */
export function needles(text: string): Needle[] {
  const solid = pieces(predicate(text)).filter((piece) => piece.kind !== 'space');
  const found: Needle[] = [];
  solid.forEach((piece, at) => {
    if (!['word', 'string', 'number'].includes(piece.kind)) return;
    const operator = solid[at - 1]?.kind === 'operator' ? solid[at - 1] : undefined;
    const before = solid[operator ? at - 3 : at - 1];
    if (before?.kind === 'logic' && /^(-|!|not)$/i.test(before.text)) return;
    if (operator && (!/^:?=?$/.test(operator.text) || solid[at - 2]?.text.startsWith('_'))) return;
    const quoted = piece.kind === 'string';
    const bare = quoted ? '' : piece.text.replace(/^\*+|(?<!\\)\*+$/g, '');
    const plain = quoted ? unquoted(piece.text) : bare.replace(/\\(.)/g, '$1');
    if (plain.length < 2 || /(?<!\\)[*?]/.test(bare)) return;
    found.push({ text: plain, openBefore: !quoted && piece.text.startsWith('*'), openAfter: !quoted && /(?<!\\)\*$/.test(piece.text) });
  });
  return found;
}

const unquoted = (text: string): string => (/^["']/.test(text) ? text.replace(/^["']|["']$/g, '').replace(/\\(["'\\])/g, '$1') : text);

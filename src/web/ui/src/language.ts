// The query language as far as the page needs it: cut into coloured pieces, the predicate before the first pipe, clauses
// put in and taken out, and what could come next at the caret. The box alone decides what a query means.

export type PieceKind = 'space' | 'word' | 'field' | 'operator' | 'string' | 'number' | 'logic' | 'pipe' | 'command' | 'bracket';
export interface Piece { kind: PieceKind; text: string; start: number }

const COMMANDS = new Set(['stats', 'sort', 'limit', 'fields']);
const NAME = /[\p{L}\p{N}_@.$/*?%+~#-]/u;

/** The end of a quoted string that begins at `start`: behind the closing quote, or the end of the text. */
function quoteEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at + 1;
  }
  return text.length;
}

export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  const push = (kind: PieceKind, start: number, end: number): void => void found.push({ kind, text: text.slice(start, end), start });
  let piped = false;
  let at = 0;
  while (at < text.length) {
    const start = at;
    const char = text[at] as string;
    if (/\s/.test(char)) {
      while (at < text.length && /\s/.test(text[at] as string)) at++;
      push('space', start, at);
    } else if (char === '"') {
      at = quoteEnd(text, at);
      push(text[at] === ':' ? 'field' : 'string', start, at);
    } else if (char === '|') {
      at++;
      piped = true;
      push('pipe', start, at);
    } else if ('()[]{},'.includes(char)) {
      at++;
      push('bracket', start, at);
    } else if (':<>=!'.includes(char)) {
      while (at < text.length && ':<>=!'.includes(text[at] as string)) at++;
      push('operator', start, at);
    } else if (char === '-' && /[\s(|]|^$/.test(text[at - 1] ?? '') && at + 1 < text.length) {
      at++;
      push('logic', start, at);
    } else {
      at++;
      while (at < text.length && NAME.test(text[at] as string)) at++;
      const word = text.slice(start, at);
      const before = found.findLast((piece) => piece.kind !== 'space');
      let kind: PieceKind = 'word';
      if (before?.kind === 'pipe' && COMMANDS.has(word)) kind = 'command';
      else if (/^(and|or|not)$/i.test(word) || (piped && /^(by|as|asc|desc)$/i.test(word))) kind = 'logic';
      else if (word === 'TO') kind = 'logic';
      else if (text[at] === '(' && piped) kind = 'command';
      else if (':<>=!'.includes(text[at] ?? ' ')) kind = 'field';
      else if (/^-?[0-9]+(\.[0-9]+)?$/.test(word)) kind = 'number';
      push(kind, start, at);
    }
  }
  return found;
}

/** Where the first pipe stands, or the end of the text. */
function pipeAt(text: string): number {
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '"') at = quoteEnd(text, at) - 1;
    else if (text[at] === '|') return at;
  }
  return text.length;
}

/** The part before the pipes: what decides which rows there are. */
export const predicate = (text: string): string => text.slice(0, pipeAt(text)).trim();
const pipes = (text: string): string => text.slice(pipeAt(text)).trim();
/** Whether the answer is a table rather than rows with lineage. */
export const isTable = (text: string): boolean => /^\|\s*(.*\|\s*)?(stats|fields)\b/s.test(pipes(text));

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

/** Takes a clause out of the text where it stands by itself. */
function without(text: string, piece: string): string {
  for (let from = 0; ; ) {
    const at = text.indexOf(piece, from);
    if (at < 0) return text;
    const before = text[at - 1];
    const after = text[at + piece.length];
    if ((before === undefined || /\s/.test(before)) && (after === undefined || /\s/.test(after))) {
      return `${text.slice(0, at)}${text.slice(at + piece.length)}`.replace(/\s+/g, ' ').replace(/^\s*and\s+/i, '').trim();
    }
    from = at + 1;
  }
}

/** The query with one more condition: only this value, or not this value. Its opposite goes. */
export function narrowed(text: string, field: string, value: unknown, keep: boolean): string {
  const positive = clause(field, value);
  const wanted = keep ? positive : negated(positive);
  let head = predicate(text);
  head = without(without(head, keep ? negated(positive) : positive), wanted);
  if (head === '*') head = '';
  const top = pieces(head).some((piece) => piece.kind === 'logic' && /^or$/i.test(piece.text)) && !/^\(.*\)$/s.test(head) ? `(${head})` : head;
  return [[top, wanted].filter(Boolean).join(' '), pipes(text)].filter(Boolean).join(' ');
}

/** Words and phrases the query looks for in the message, to be marked in it. */
export function needles(text: string): string[] {
  const list = pieces(predicate(text));
  const found: string[] = [];
  let skip = false;
  list.forEach((piece, index) => {
    if (piece.kind === 'space') return;
    const previous = list.slice(0, index).findLast((other) => other.kind !== 'space');
    if (piece.kind === 'logic') skip = piece.text === '-' || /^not$/i.test(piece.text);
    else if (['word', 'string', 'number'].includes(piece.kind)) {
      if (!skip && !(previous?.kind === 'operator' && /[<>]/.test(previous.text))) {
        const plain = (piece.kind === 'string' ? piece.text.slice(1, -1).replace(/\\(.)/g, '$1') : piece.text).replace(/^\*+|\*+$/g, '');
        if (plain.length > 1 && !/[*?]/.test(plain)) found.push(plain);
      }
      if (piece.kind !== 'word' || previous?.kind !== 'operator') skip = false;
      else skip = false;
    }
  });
  return found;
}

export interface Asked { kind: 'field' | 'value' | 'command' | 'function'; field: string; typed: string; start: number; end: number }

/** What is being typed at the caret, and what would be a help there. */
export function askedAt(text: string, caret: number): Asked | null {
  const before = text.slice(0, caret);
  const list = pieces(before);
  const last = list.at(-1);
  const solid = list.filter((piece) => piece.kind !== 'space');
  const end = caret + (/^[\p{L}\p{N}_.@*-]*/u.exec(text.slice(caret))?.[0].length ?? 0);
  const ask = (kind: Asked['kind'], typed: string, field = ''): Asked => ({ kind, field, typed, start: caret - typed.length, end });
  if (pipeAt(before) < before.length) {
    const tail = /\|\s*([a-z]*)$/.exec(before);
    if (tail) return ask('command', tail[1] ?? '');
    const typed = /[\p{L}\p{N}_.@]*$/u.exec(before)?.[0] ?? '';
    const rest = before.slice(before.lastIndexOf('|') + 1).trim();
    if (/^stats\b/.test(rest) && !/\bby\b/.test(rest) && !/\([^)]*$/.test(rest)) return ask('function', typed);
    return /^limit\b/.test(rest) ? null : ask('field', typed);
  }
  if (!last || last.kind === 'space' || last.kind === 'bracket' || last.text === '-') return ask('field', '');
  if (last.kind === 'operator') {
    const field = solid.at(-2);
    return field && /^:=?$/.test(last.text) ? ask('value', '', unquoted(field.text)) : null;
  }
  const operator = list.at(-2);
  if (operator?.kind === 'operator' && /^:=?$/.test(operator.text)) {
    const field = solid.at(-3);
    return field ? ask('value', last.text, unquoted(field.text)) : null;
  }
  return last.kind === 'string' ? null : ask('field', last.text);
}

const unquoted = (text: string): string => (text.startsWith('"') ? text.slice(1, -1) : text);

/** How a value is written after `field:`. */
export function written(value: unknown): string {
  const text = String(value);
  return typeof value === 'number' || /^[\p{L}\p{N}_]+$/u.test(text) ? text : quote(text);
}

export const writtenField = fieldName;

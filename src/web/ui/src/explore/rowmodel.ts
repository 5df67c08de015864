// What a row shows of itself before it is opened: how bad it is, its tags, its line, and where the query's words stand in it.

import { plain } from '../format';
import type { Needle } from '../language';

/** Names that a row has beside its own fields. */
export const ORIGIN_FIELDS = new Set(['_time', '_topic', '_partition', '_offset', '_n', '_generation']);

export type Grade = '' | 'warn' | 'bad';

const STATUS = ['response', 'status', 'status_code', 'http.response.status_code', 'code'];
const LEVEL = ['level', 'severity', 'log.level', 'severity_text', 'loglevel', 'lvl'];

/** From an HTTP status, a level's name, or a syslog severity. */
export function grade(data: Record<string, unknown>): Grade {
  for (const name of LEVEL) {
    const value = data[name];
    if (typeof value === 'string') {
      if (/^(err|crit|fatal|emerg|alert|panic)/i.test(value)) return 'bad';
      if (/^warn/i.test(value)) return 'warn';
    } else if (typeof value === 'number' && name === 'severity' && value <= 7) {
      if (value <= 3) return 'bad';
      if (value === 4) return 'warn';
    }
  }
  for (const name of STATUS) {
    const value = Number(data[name]);
    if (value >= 500 && value < 600) return 'bad';
    if (value >= 400 && value < 500) return 'warn';
  }
  return '';
}

export function tags(data: Record<string, unknown>): string[] {
  const value = data['tags'];
  return Array.isArray(value) ? value.map(plain) : value === undefined || value === null || value === '' ? [] : [plain(value)];
}

/** Fields of the row itself, in the order they came. */
export function ownFields(data: Record<string, unknown>): [string, unknown][] {
  return Object.entries(data).filter(([name]) => !ORIGIN_FIELDS.has(name));
}

/** The line; a row without a message shows its fields instead. */
export function line(data: Record<string, unknown>): { text: string; made: boolean } {
  const message = data['message'];
  if (message !== undefined && message !== null && plain(message) !== '') return { text: plain(message).replace(/\s+$/, ''), made: false };
  return { text: ownFields(data).filter(([name]) => name !== 'tags' && name !== 'message').map(([name, value]) => `${name}=${plain(value)}`).join('  '), made: true };
}

export const TOO_LONG = 4_000;

/** What the box takes for a part of a word. */
const WORD = '[0-9A-Za-z_\\u0080-\\u{10ffff}]';

/** What finds the needles in any text. */
export function finder(needles: Needle[]): RegExp | null {
  if (!needles.length) return null;
  const expression = ({ text, openBefore, openAfter }: Needle): string => {
    const before = !openBefore && new RegExp(`^${WORD}`, 'u').test(text) ? `(?<!${WORD})` : '';
    const after = !openAfter && new RegExp(`${WORD}$`, 'u').test(text) ? `(?!${WORD})` : '';
    return before + text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&') + after;
  };
  const longestFirst = [...needles].sort((a, b) => b.text.length - a.text.length);
  return new RegExp(`(${longestFirst.map(expression).join('|')})`, 'giu');
}

/** The text cut where the needles stand: every odd piece is a hit. */
export const marked = (text: string, finder: RegExp | null): string[] => (finder ? text.split(finder) : [text]);

/** A stable hue out of eight for a topic's name. */
export function hue(name: string): number {
  let sum = 7;
  for (let at = 0; at < name.length; at++) sum = (sum * 31 + name.charCodeAt(at)) >>> 0;
  return ((sum ^ (sum >>> 9) ^ (sum >>> 17)) >>> 0) % 8;
}

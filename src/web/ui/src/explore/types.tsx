// The type of a field as a mark of one or two characters.

import type { JSX } from 'preact';

const MARKS: Record<string, [string, string]> = {
  string: ['t', 'string'], text: ['t', 'string'], str: ['t', 'string'],
  integer: ['#', 'integer'], int: ['#', 'integer'], number: ['#', 'number'],
  decimal: ['.5', 'decimal'], float: ['.5', 'decimal'],
  boolean: ['?', 'boolean'], bool: ['?', 'boolean'],
  ip: ['ip', 'IP address'], time: ['⏱', 'time'], list: ['[ ]', 'list'],
};

export function typeOf(value: unknown): string {
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'decimal';
  return typeof value === 'boolean' ? 'boolean' : 'string';
}

export function TypeMark({ type }: { type: string }): JSX.Element {
  const [mark, name] = MARKS[type] ?? [type.slice(0, 2), type];
  return <abbr class={`type type-${name.split(' ')[0]?.toLowerCase() ?? ''}`} title={name}>{mark}</abbr>;
}

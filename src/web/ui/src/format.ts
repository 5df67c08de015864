// Numbers for people.

const whole = new Intl.NumberFormat('en');
export const count = (number: number): string => whole.format(number);

/** Short: 12.3 k, 4.5 M. */
export function short(number: number): string {
  const size = Math.abs(number);
  for (const [unit, step] of [['G', 1e9], ['M', 1e6], ['k', 1e3]] as const) {
    if (size >= step * 0.99995) return `${trim(number / step)} ${unit}`;
  }
  return size < 10 && !Number.isInteger(number) ? number.toFixed(1) : whole.format(Math.round(number));
}

const trim = (number: number): string => (Math.abs(number) >= 100 ? number.toFixed(0) : number.toFixed(1).replace(/\.0$/, ''));

export function bytes(number: number): string {
  for (const [unit, step] of [['TiB', 2 ** 40], ['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 2 ** 10]] as const) {
    if (number >= step) return `${trim(number / step)} ${unit}`;
  }
  return `${number} B`;
}

export function duration(seconds: number): string {
  const days = Math.floor(seconds / 86400);
  const hours = Math.floor(seconds / 3600) % 24;
  const minutes = Math.floor(seconds / 60) % 60;
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  if (minutes) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds)} s`;
}

export const plural = (number: number, one: string, many = `${one}s`): string => `${count(number)} ${number === 1 ? one : many}`;

/** A share as a percentage that does not lie about small ones. */
export function share(part: number, all: number): string {
  if (!all) return '0 %';
  const percent = (part / all) * 100;
  return percent > 0 && percent < 0.1 ? '< 0.1 %' : `${percent >= 10 || percent === 0 ? percent.toFixed(0) : percent.toFixed(1)} %`;
}

/** One value as text. */
export function plain(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'object' ? (Array.isArray(value) ? value.map(plain).join(', ') : JSON.stringify(value)) : String(value);
}

/** The value of a number field in a table: grouped digits only where it is a quantity, never for identifiers. */
export const quantity = (value: unknown): string =>
  typeof value === 'number' ? (Number.isInteger(value) ? whole.format(value) : new Intl.NumberFormat('en', { maximumSignificantDigits: 6 }).format(value)) : plain(value);

// The answer of a query that ends in `stats` or `fields`: a table. Columns sort; groups lead back to their rows.

import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Row } from '../api';
import { count, plain, quantity } from '../format';
import { groupedBy, rowsBehind } from '../language';
import { Bar, CopyButton } from '../parts/bits';
import { ask } from '../search';
import { asked } from '../state';
import { bothZones, rowMs, stamp } from '../time';

const csvCell = (value: unknown): string => (/[",\n]/.test(plain(value)) ? `"${plain(value).replace(/"/g, '""')}"` : plain(value));

export function StatsTable({ rows }: { rows: Row[] }): JSX.Element {
  const [sort, setSort] = useState<{ name: string; up: boolean } | null>(null);
  const by = groupedBy(asked.value);
  const isFigure = (name: string): boolean => (by ? !by.includes(name.replace(/\s/g, '')) : /\(.*\)$/.test(name));
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.data)))];
  const numeric = new Set(names.filter((name) => rows.every(({ data }) => data[name] === undefined || data[name] === null || typeof data[name] === 'number')));
  const measured = names.filter((name) => numeric.has(name) && isFigure(name));
  const numericColumn = (name: string): boolean => numeric.has(name) && (isFigure(name) || measured.length === 0);
  const digits = new Map(measured.map((name) => [name, Math.max(...rows.map(({ data }) => quantity(data[name]).length))]));
  const greatest = new Map(measured.map((name) => [name, Math.max(...rows.map(({ data }) => Number(data[name]) || 0))]));
  const groups = names.filter((name) => !isFigure(name));
  const sorted = sort ? [...rows].sort((a, b) => compare(a.data[sort.name], b.data[sort.name]) * (sort.up ? 1 : -1)) : rows;
  const csv = (): string => [names, ...sorted.map(({ data }) => names.map((name) => data[name]))].map((cells) => cells.map(csvCell).join(',')).join('\n');
  const rowsOf = (data: Record<string, unknown>): string => rowsBehind(asked.value, groups.map((name) => [name, data[name]]));
  const canLead = by !== null && groups.length === by.length && groups.length > 0 && measured.length > 0 && !groups.some((name) => /^bin\(|^_time$/.test(name));
  return (
    <div class="stats" data-stats>
      <div class="stats-bar"><span class="quiet">{count(rows.length)} {rows.length === 1 ? 'line' : 'lines'}</span><CopyButton text={csv} what="CSV" label="Copy CSV" /></div>
      <div class="stats-scroll">
        <table>
          <thead>
            <tr>
              {names.map((name) => (
                <th key={name} class={numericColumn(name) ? 'number' : ''} aria-sort={sort?.name === name ? (sort.up ? 'ascending' : 'descending') : 'none'}>
                  <button type="button" onClick={() => setSort({ name, up: sort?.name === name ? !sort.up : !numeric.has(name) })}>{name}{sort?.name === name ? (sort.up ? ' ↑' : ' ↓') : ''}</button>
                </th>
              ))}
              {canLead && <th><span class="offscreen">Rows</span></th>}
            </tr>
          </thead>
          <tbody>
            {sorted.slice(0, 2_000).map(({ data }, at) => (
              <tr key={at}>
                {names.map((name) => {
                  const ms = name === '_time' || name.startsWith('bin(') ? rowMs(data[name]) : Number.NaN;
                  if (Number.isFinite(ms) && typeof data[name] === 'string') return <td key={name} title={bothZones(ms)}>{stamp(ms)}</td>;
                  const value = isFigure(name) ? quantity(data[name]) : plain(data[name]);
                  return (
                    <td key={name} class={numericColumn(name) ? 'number' : ''} style={{ '--digits': digits.get(name) ?? '' }}>
                      {measured[0] === name && rows.length > 1 && <Bar part={Number(data[name]) || 0} all={greatest.get(name) ?? 0} />}
                      <span>{value === '' ? <em class="quiet">none</em> : value}</span>
                    </td>
                  );
                })}
                {canLead && <td class="lead"><button type="button" class="textual" onClick={() => ask({ q: rowsOf(data) })}>Rows</button></td>}
              </tr>
            ))}
          </tbody>
        </table>
        {sorted.length > 2_000 && <p class="quiet pad">The first 2,000 of {count(sorted.length)} lines are shown; add “| sort … | limit …”.</p>}
      </div>
    </div>
  );
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return plain(a).localeCompare(plain(b), 'en', { numeric: true });
}

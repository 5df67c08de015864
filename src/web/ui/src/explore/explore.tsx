// The search view: fields at the left; histogram, figures and rows in the part that scrolls.

import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { count } from '../format';
import { isPlain } from '../language';
import { connection } from '../live';
import { IconButton } from '../parts/bits';
import { bars, barsPhase, phase, rows, run, stats, tabular, took } from '../search';
import { LIMITS, asked, limit, live, wrap, writeAddress } from '../state';
import { FieldPanel, panelOpen } from './fields';
import { Histogram } from './histogram';
import { Results } from './rows';

export function Explore(): JSX.Element {
  const scroller = useRef<HTMLElement>(null);
  useEffect(() => { void run(); }, []);
  return (
    <div class="explore">
      <FieldPanel />
      {panelOpen.value && <div class="veil" onClick={() => void (panelOpen.value = false)} />}
      <main class="scroller" ref={scroller} id="rows">
        <Histogram />
        <Toolbar />
        <Results scroller={scroller} />
      </main>
    </div>
  );
}

function scanned(): string {
  const found = stats.value;
  const parts: string[] = [];
  if (took.value !== null && phase.value === 'done') parts.push(`answered in ${took.value < 1000 ? `${Math.max(1, Math.round(took.value))} ms` : `${(took.value / 1000).toFixed(1)} s`}`);
  for (const [name, value] of Object.entries(found ?? {})) if (typeof value === 'number') parts.push(`${name.replace(/_/g, ' ')}: ${count(value)}`);
  return parts.join('\n');
}

function Toolbar(): JSX.Element {
  const total = bars.value?.total;
  const busy = phase.value === 'loading' || barsPhase.value === 'loading';
  const shown = rows.value.length;
  return (
    <div class="toolbar">
      <IconButton class="only-narrow" icon="panel" label="Show the fields" text="Fields" onClick={() => void (panelOpen.value = true)} />
      <p class="figures" title={scanned()} aria-live="polite">
        {phase.value === 'failed' ? <span class="quiet">–</span> : total === undefined ? <span class="quiet">…</span> : <><strong data-total={total}>{count(total)}</strong> {total === 1 ? 'row' : 'rows'}</>}
        {!tabular.value && phase.value !== 'failed' && shown > 0 && total !== undefined && shown < total && <span class="quiet"> · {isPlain(asked.value) && 'newest '}{count(shown)} shown</span>}
        {took.value !== null && phase.value === 'done' && !live.value && <span class="quiet wide"> · {took.value < 1000 ? `${Math.max(1, Math.round(took.value))} ms` : `${(took.value / 1000).toFixed(1)} s`}</span>}
        {stats.value?.['partial'] === true && phase.value === 'done' && <span class="warn" title={String(stats.value['note'] ?? 'Something is missing from this answer')}> · partial</span>}
        {busy && <span class="spinner" aria-label="Loading" />}
      </p>
      {live.value && <span class={`live-state ${connection.value}`}><i />{connection.value === 'open' ? 'Live' : connection.value === 'waiting' ? 'Connection lost, trying again' : 'Connecting'}</span>}
      <span class="gap" />
      <IconButton icon="wrap" label={wrap.value ? 'One line a row (w)' : 'Wrap long lines (w)'} pressed={wrap.value} onClick={() => { wrap.value = !wrap.value; writeAddress(false); }} />
      <label class="limit">
        <span>Rows</span>
        <select value={String(limit.value)} aria-label="Rows to show" onChange={(change) => { limit.value = Number(change.currentTarget.value); writeAddress(false); void run(); }}>
          {LIMITS.map((size) => <option key={size} value={String(size)}>{count(size)}</option>)}
        </select>
      </label>
    </div>
  );
}

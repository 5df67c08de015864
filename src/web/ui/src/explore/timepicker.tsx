// The time picker: spans back from now, all time, or two instants to the second.

import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { Popover } from '../parts/bits';
import { Icon } from '../parts/icons';
import { ask, bars } from '../search';
import { range } from '../state';
import { MODES, ZONE_KEY, bounds, fromInput, inputValue, rangeLabel, remember, spanMs, utc } from '../time';
import { boxNow } from '../api';

export function TimePicker(): JSX.Element {
  const label = rangeLabel(range.value);
  return (
    <Popover label={<><Icon name="clock" /><span class="range-label">{label}</span></>} title="Time" class="timepicker" align="end">
      {(close) => <Choices close={close} />}
    </Popover>
  );
}

function Choices({ close }: { close: () => void }): JSX.Element {
  const now = boxNow();
  const shown = bounds(range.value, now);
  const known = bars.value;
  const first = shown.from ?? (known?.from ? Date.parse(known.from) : now - 36e5);
  const last = shown.to ?? (known?.to ? Date.parse(known.to) : now);
  const [from, setFrom] = useState(inputValue(first));
  const [to, setTo] = useState(inputValue(last));
  const [own, setOwn] = useState('');
  const fromMs = fromInput(from);
  const toMs = fromInput(to);
  const problem = fromMs === null || toMs === null ? 'Both instants are needed.' : fromMs >= toMs ? 'The beginning must be before the end.' : '';
  const choose = (next: typeof range.value): void => {
    close();
    ask({ range: next });
  };
  const isChosen = (span: string): boolean => range.value.kind === 'last' && range.value.span === span;
  return (
    <div class="choices">
      <div class="spans" role="group" aria-label="Back from now">
        {MODES.map(([span, name]) => (
          <button key={span} type="button" class={`choice ${isChosen(span) ? 'chosen' : ''}`} data-span={span} aria-pressed={isChosen(span)} onClick={() => choose({ kind: 'last', span })}>Last {name.replace(/^1 /, '')}</button>
        ))}
        <button type="button" class={`choice ${range.value.kind === 'all' ? 'chosen' : ''}`} data-span="all" aria-pressed={range.value.kind === 'all'} onClick={() => choose({ kind: 'all' })}>All time</button>
        <form class="own" onSubmit={(submit) => { submit.preventDefault(); if (spanMs(own)) choose({ kind: 'last', span: own.trim() }); }}>
          <label>Last <input value={own} placeholder="90m" size={5} aria-label="Own span, such as 90m or 3d" aria-invalid={own !== '' && !spanMs(own)} onInput={(input) => setOwn(input.currentTarget.value)} /></label>
          <button type="submit" class="button" disabled={!spanMs(own)}>Go</button>
        </form>
      </div>
      <form class="fixed" onSubmit={(submit) => { submit.preventDefault(); if (!problem && fromMs !== null && toMs !== null) choose({ kind: 'fixed', from: fromMs, to: toMs }); }}>
        <label>From <input type="datetime-local" step={1} value={from} onInput={(input) => setFrom(input.currentTarget.value)} /></label>
        <label>To (not included) <input type="datetime-local" step={1} value={to} onInput={(input) => setTo(input.currentTarget.value)} /></label>
        {problem && <p class="bad" role="alert">{problem}</p>}
        <button type="submit" class="button primary" disabled={problem !== ''}>Show this time</button>
        <label class="check"><input type="checkbox" checked={utc.value} onChange={(change) => {
          utc.value = change.currentTarget.checked;
          remember(ZONE_KEY, utc.value ? 'utc' : 'local');
          if (fromMs !== null) setFrom(inputValue(fromMs));
          if (toMs !== null) setTo(inputValue(toMs));
        }} /> Times in UTC</label>
        <p class="quiet">Drag over the chart to zoom in.</p>
      </form>
    </div>
  );
}

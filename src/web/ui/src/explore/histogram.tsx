// Rows over time as bars. The y axis begins at 0; dragging over the bars zooms in; a bar under the pointer says its figures.
//
// uPlot paints on a canvas, so colours are read from the style sheet and the chart is made anew when the theme, the size or
// the zone changes. Its figures come from the same span as the rows.

import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import type { HistogramAnswer } from '../api';
import { count, short } from '../format';
import { Failed, IconButton } from '../parts/bits';
import { ask, barCount, barsFor, bars, barsPhase, barsProblem, refreshSideways, span } from '../search';
import { range } from '../state';
import { painted } from '../theme';
import { clock, day, utc } from '../time';

const HEIGHT = 112;

export interface Shape { times: number[]; counts: number[]; step: number; from: number; to: number }

/** The answer as columns; buckets the box left out because they are empty are put in. */
export function shape(answer: HistogramAnswer, asked: { from: string | null; to: string | null }): Shape | null {
  const step = answer.step_ms;
  const known = new Map(answer.buckets.map((bucket) => [Date.parse(bucket.time), bucket.count]));
  const stamps = [...known.keys()].sort((a, b) => a - b);
  const anchor = stamps[0];
  if (anchor === undefined || !(step > 0)) return null;
  const from = Date.parse(asked.from ?? answer.from ?? '') || anchor;
  const to = Date.parse(asked.to ?? answer.to ?? '') || (stamps.at(-1) ?? anchor) + step;
  const begin = anchor - Math.floor(Math.max(0, anchor - from) / step) * step;
  const times: number[] = [];
  for (let at = begin; at < Math.max(to, (stamps.at(-1) ?? 0) + 1) && times.length < 2_000; at += step) times.push(at);
  return { times, counts: times.map((time) => known.get(time) ?? 0), step, from: Math.min(from, begin), to: Math.max(to, (times.at(-1) ?? to) + step) };
}

const ink = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** An axis label as short as the step allows. */
function tick(ms: number, step: number, first: boolean): string {
  if (step >= 864e5) return day(ms).slice(5);
  const time = clock(ms, step < 6e4);
  return first || time.startsWith('00:00') ? `${time}\n${day(ms).slice(5)}` : time;
}

export function Histogram(): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const [width, setWidth] = useState(0);
  const [at, setAt] = useState<{ left: number; index: number } | null>(null);
  const answer = bars.value;
  const drawn = answer ? shape(answer, span.value) : null;

  useEffect(() => {
    const node = box.current;
    if (!node) return;
    const watch = new ResizeObserver(() => {
      setWidth(node.clientWidth);
      barCount.value = barsFor(node.clientWidth - 50);
    });
    watch.observe(node);
    return () => watch.disconnect();
  }, []);

  const theme = painted.value;
  const inUtc = utc.value;
  useEffect(() => {
    const node = box.current;
    setAt(null);
    if (!node || !width || !drawn) return;
    const seconds = drawn.times.map((time) => time / 1000);
    const faint = ink('--faint');
    const quiet = ink('--quiet');
    const axis: uPlot.Axis = { stroke: quiet, font: `11px ${ink('--sans')}`, ticks: { show: false }, border: { show: false } };
    const options: uPlot.Options = {
      width, height: HEIGHT, padding: [8, 4, 0, 0], legend: { show: false },
      scales: {
        x: { time: true, range: [drawn.from / 1000, drawn.to / 1000] },
        y: { range: (_plot, _low, high) => [0, Math.max(1, high * 1.06)] },
      },
      axes: [
        { ...axis, grid: { show: false }, size: 32, gap: 4, space: 80, values: (_plot, splits, _axis, _space, step) => splits.map((second, index) => (drawn.to / 1000 - second < ((drawn.to - drawn.from) / 1000) * (18 / Math.max(60, width - 48)) ? '' : tick(second * 1000, step * 1000, index === 0))) },
        { ...axis, grid: { stroke: faint, width: 1 }, size: 44, gap: 4, space: 28, incrs: [1, 2, 5, ...[1, 2, 3, 4, 5, 6, 7, 8].flatMap((power) => [1, 2, 2.5, 5].map((part) => part * 10 ** power))], values: (_plot, splits) => splits.map(short) },
      ],
      series: [{}, { fill: ink('--bar'), width: 0, points: { show: false }, paths: uPlot.paths.bars?.({ size: [0.9, Infinity, 1], align: 1, radius: 0.12 }) as uPlot.Series.PathBuilder }],
      tzDate: (second) => (inUtc ? uPlot.tzDate(new Date(second * 1000), 'Etc/UTC') : new Date(second * 1000)),
      cursor: { y: false, x: false, points: { show: false }, drag: { x: true, y: false, setScale: false, dist: 4 } },
      hooks: {
        setCursor: [(plot) => {
          const { left = -1 } = plot.cursor;
          const second = left < 0 ? -1 : plot.posToVal(left, 'x');
          const index = second < 0 ? -1 : Math.floor((second * 1000 - (drawn.times[0] ?? 0)) / drawn.step);
          setAt(index >= 0 && index < drawn.times.length ? { left: left + plot.bbox.left / devicePixelRatio, index } : null);
        }],
        setSelect: [(plot) => {
          if (plot.select.width < 4) return;
          const from = Math.floor(plot.posToVal(plot.select.left, 'x') * 1000);
          const to = Math.ceil(plot.posToVal(plot.select.left + plot.select.width, 'x') * 1000);
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          ask({ range: { kind: 'fixed', from, to: Math.max(to, from + 1) } });
        }],
      },
    };
    chart.current = new uPlot(options, [seconds, drawn.counts], node);
    return () => {
      chart.current?.destroy();
      chart.current = null;
    };
  }, [answer, width, theme, inUtc]);

  const busy = barsPhase.value === 'loading' || barsPhase.value === 'refused';
  const failed = barsPhase.value === 'failed';
  const under = at && drawn ? { time: drawn.times[at.index] ?? 0, hits: drawn.counts[at.index] ?? 0 } : null;
  const peak = drawn ? Math.max(...drawn.counts) : 0;
  const summary = drawn && answer ? `${count(answer.total)} rows between ${day(drawn.from)} ${clock(drawn.from)} and ${day(drawn.to)} ${clock(drawn.to)}, at most ${count(peak)} a bar` : 'No rows';
  return (
    <section class={`histogram ${busy ? 'stale' : ''}`} aria-label="Rows over time" aria-busy={busy}>
      <div class="chart" ref={box} role="img" aria-label={summary} data-bars={drawn?.times.length ?? 0}>
        {failed && <Failed title="The chart could not be had" text={barsProblem.value} onRetry={refreshSideways} />}
        {!failed && !drawn && <p class="chart-empty">{busy || barsPhase.value === 'idle' ? '' : 'No rows in this time'}</p>}
        {under && at && drawn && (
          <div class={`chart-tip ${at.left > width / 2 ? 'left' : ''}`} style={{ left: `${at.left}px` }}>
            <strong>{count(under.hits)}</strong> {under.hits === 1 ? 'row' : 'rows'}
            <small>{day(under.time)} {clock(under.time)} – {clock(under.time + drawn.step)}</small>
          </div>
        )}
      </div>
      {range.value.kind === 'fixed' && <ZoomOut />}
    </section>
  );
}

function ZoomOut(): JSX.Element | null {
  const { value } = range;
  if (value.kind !== 'fixed') return null;
  const half = (value.to - value.from) / 2;
  return <IconButton class="zoom-out" icon="zoomout" label="Zoom out to twice the time" onClick={() => ask({ range: { kind: 'fixed', from: Math.floor(value.from - half), to: Math.ceil(value.to + half) } })} />;
}

// The rows, newest first. A row opens to its fields and its lineage; only rows in view are in the page.

import { computed } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Row } from '../api';
import { count, plain } from '../format';
import { needles, saysHowMany } from '../language';
import { atTop, catchUp, waiting } from '../live';
import { Bones, Failed, IconButton } from '../parts/bits';
import { Icon } from '../parts/icons';
import { useWindow } from '../parts/window';
import { ending, loadMore, loadingMore, opened, phase, problem, rowId, rows, run, stats, tabular, toggleColumn, toggleRow } from '../search';
import { asked, columns, live, wrap } from '../state';
import { bothZones, rowMs, stamp, utc } from '../time';
import { Detail } from './detail';
import { NoRows } from './empty';
import { finder, grade, hue, line, marked, tags, TOO_LONG } from './rowmodel';
import { StatsTable } from './statstable';

const found = computed(() => finder(needles(asked.value)));

export function Results({ scroller }: { scroller: { current: HTMLElement | null } }): JSX.Element {
  const list = rows.value;
  const failed = problem.value;
  if (failed && (phase.value === 'failed') && !list.length) return <Trouble />;
  if (phase.value === 'loading' && !list.length) return <Bones lines={14} class="rows-bones" />;
  if (phase.value === 'idle') return <Bones lines={14} class="rows-bones" />;
  if (!list.length) return <NoRows />;
  return (
    <div class="results">
      {failed && <Trouble />}
      <div class={phase.value === 'loading' || phase.value === 'failed' ? 'stale' : ''}>{tabular.value ? <><StatsTable rows={list} />{ending.value === 'cut' && <End shown={list.length} />}</> : <RowList scroller={scroller} list={list} />}</div>
    </div>
  );
}

function Trouble(): JSX.Element {
  const failed = problem.value;
  const inQuery = failed?.position !== null && failed?.position !== undefined;
  return <Failed title={inQuery ? 'The query could not be read' : 'The rows could not be had'} text={failed?.message ?? ''} {...(inQuery ? {} : { onRetry: () => void run() })} />;
}

function RowList({ scroller, list }: { scroller: { current: HTMLElement | null }; list: Row[] }): JSX.Element {
  const node = useRef<HTMLDivElement>(null);
  const ids = list.map(rowId);
  const narrow = matchMedia('(max-width: 760px)').matches;
  const shown = useWindow(scroller, node, ids, narrow ? 48 : 25, `${wrap.value} ${columns.value.length}`);
  const cols = columns.value;

  useEffect(() => {
    const view = scroller.current;
    if (!view) return;
    const moved = (): void => {
      const top = view.scrollTop < 40;
      if (top === atTop.value) return;
      atTop.value = top;
      if (top) catchUp();
    };
    view.addEventListener('scroll', moved, { passive: true });
    moved();
    return () => {
      atTop.value = true;
      view.removeEventListener('scroll', moved);
    };
  }, []);

  return (
    <div class={`rows ${wrap.value ? 'wrapped' : ''}`} data-cols={cols.length} style={{ '--cols': cols.length ? `repeat(${cols.length}, minmax(8ch, 18ch))` : '' }}>
      {waiting.value > 0 && (
        <button type="button" class="button primary newer" onClick={() => { scroller.current?.scrollTo({ top: 0 }); catchUp(); }}>
          <Icon name="up" />{count(waiting.value)} new
        </button>
      )}
      <div class="row-head" aria-hidden="true">
        <span />
        <span>Time {utc.value ? '(UTC)' : ''}</span><span>Topic</span>
        {cols.map((name) => <span key={name} class="col-head" title={name}>{name}<IconButton icon="close" label={`Take the column ${name} away`} onClick={() => toggleColumn(name)} /></span>)}
        <span>Message</span>
      </div>
      <div ref={node} class="row-list" role="list" aria-label="Rows, newest first">
        <div style={{ height: `${shown.before}px` }} />
        {list.slice(shown.first, shown.last).map((row, index) => {
          const id = ids[shown.first + index] as string;
          return (
            <div key={id} data-id={id} ref={shown.measure} role="listitem" aria-setsize={list.length} aria-posinset={shown.first + index + 1} class="row-item">
              <RowLine row={row} id={id} cols={cols} open={opened.value.has(id)} />
              {opened.value.has(id) && <Detail row={row} />}
            </div>
          );
        })}
        <div style={{ height: `${shown.after}px` }} />
      </div>
      <End shown={list.length} />
    </div>
  );
}

/** What is below the last row; while the answer is not there, nothing is known of that. */
function End({ shown }: { shown: number }): JSX.Element | null {
  if (live.value || phase.value !== 'done') return null;
  const many = `${count(shown)} ${shown === 1 ? 'row' : 'rows'}`;
  if (ending.value === 'older') {
    return <p class="rows-end"><button type="button" class="button" disabled={loadingMore.value} onClick={() => void loadMore()}>{loadingMore.value ? 'Loading …' : 'Load older rows'}</button></p>;
  }
  if (ending.value === 'cut') return <p class="rows-end" data-cut={shown}>The first {many} are shown; there may be more. Choose more rows above, or end the query with “| limit …”.</p>;
  if (stats.value?.['partial'] === true) return <p class="rows-end">{many}, and something is missing: {String(stats.value['note'] ?? 'not all could be read')}.</p>;
  return <p class="rows-end">That is all{saysHowMany(asked.value) ? ' that the query asks for' : ''}: {many}.</p>;
}

function RowLine({ row, id, cols, open }: { row: Row; id: string; cols: string[]; open: boolean }): JSX.Element {
  const { data } = row;
  const ms = rowMs(data['_time']);
  const topic = plain(data['_topic']);
  const { text, made } = line(data);
  const toggle = (): void => {
    // A click that ends a selection is no click.
    if (getSelection()?.isCollapsed === false) return;
    toggleRow(id);
  };
  return (
    <div class={`row ${grade(data) && `g-${grade(data)}`} ${open ? 'open' : ''}`} role="button" tabIndex={0} aria-expanded={open} onClick={toggle}
      onKeyDown={(press) => { if ((press.key === 'Enter' || press.key === ' ') && press.target === press.currentTarget) { press.preventDefault(); toggleRow(id); } }}>
      <span class="row-arrow"><Icon name="right" /></span>
      <time class="row-time" title={Number.isFinite(ms) ? bothZones(ms, plain(data['_time'])) : ''}>{Number.isFinite(ms) ? stamp(ms) : plain(data['_time'])}</time>
      <span class={`row-topic hue${hue(topic)}`} title={topic}>{topic}</span>
      {cols.map((name) => <span key={name} class="row-col" title={plain(data[name])}>{plain(data[name])}</span>)}
      <span class={`row-text ${made ? 'made' : ''}`}>
        {tags(data).map((tag) => <b key={tag} class="tag">{tag}</b>)}
        {marked(text.length > TOO_LONG && !open ? `${text.slice(0, TOO_LONG)}…` : text, found.value).map((piece, at) => (at % 2 ? <mark key={at}>{piece}</mark> : piece))}
      </span>
    </div>
  );
}

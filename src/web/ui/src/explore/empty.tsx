// No rows: because nothing was ever sent, because this time has none, or because nothing matches. Each says what to do next.

import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { count } from '../format';
import { FirstLogs } from '../box/firstlogs';
import { ask, elsewhere, run } from '../search';
import { asked, live, range } from '../state';
import { knownTopics, learnTopics } from '../topics';
import { clock, day, rangeLabel } from '../time';

const WATCH_EVERY_MS = 3_000;

export function NoRows(): JSX.Element {
  useEffect(() => {
    learnTopics();
    // An empty page fills itself: somebody is likely trying to send something right now.
    const timer = setInterval(() => { if (!document.hidden && !live.value && !elsewhere.value) void run(true); }, WATCH_EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  const other = elsewhere.value;
  const nothingYet = knownTopics.value.every((topic) => topic.rows === 0);
  if (!other && nothingYet && !asked.value) return <><FirstLogs /><p class="first-wait"><i class="dot open" />Waiting for the first rows …</p></>;
  const label = rangeLabel(range.value).replace(/^Last/, 'the last');
  const last = other?.buckets.findLast((bucket) => bucket.count > 0);
  const where = range.value.kind === 'all' ? 'at any time' : range.value.kind === 'last' ? `in ${label}` : `between ${label}`;
  return (
    <div class="state none" data-empty>
      <div>
        <strong>{asked.value ? 'Nothing matches' : 'No rows'} {where}</strong>
        {live.value && <p>Live: new rows appear here as they come in.</p>}
        {other && last && <p>{count(other.total)} {other.total === 1 ? 'row matches' : 'rows match'} at other times; the newest around {day(Date.parse(last.time))} {clock(Date.parse(last.time), false)}.</p>}
        <div class="state-acts">
          {other && <button type="button" class="button primary" data-all onClick={() => ask({ range: { kind: 'all' } })}>Search all time</button>}
          {asked.value && <button type="button" class="button" onClick={() => ask({ q: '' })}>Clear the query</button>}
        </div>
      </div>
    </div>
  );
}

// The rows before and after an open one in its partition, as they arrived; perhaps only those that agree with it in a field.

import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import * as api from '../api';
import type { ContextAnswer } from '../api';
import { plain } from '../format';
import { rowMs, stamp } from '../time';
import { grade, line, ownFields } from './rowmodel';

const FIRST = 5;
const MOST = 320;
/** Longest value that is likely to be shared with other rows. */
const SHARED = 64;

type Data = Record<string, unknown>;

export function Around({ data }: { data: Data }): JSX.Element {
  const [beside, setBeside] = useState(FIRST);
  const [same, setSame] = useState('');
  const [answer, setAnswer] = useState<ContextAnswer | null>(null);
  const [wrong, setWrong] = useState('');
  const section = useRef<HTMLElement>(null);
  const [topic, partition, offset, n] = ['_topic', '_partition', '_offset', '_n'].map((name) => plain(data[name] ?? 0)) as [string, string, string, string];

  useEffect(() => {
    const abort = new AbortController();
    api.context({ topic, partition, offset, n }, beside, same, abort.signal).then(
      (found) => { setAnswer(found); setWrong(''); },
      (error: unknown) => { if (!api.isAbort(error)) setWrong(api.sentence(error)); },
    );
    return () => abort.abort();
  }, [topic, partition, offset, n, beside, same]);

  // It opens below what was read: bring it in, and the row itself to its middle.
  const there = answer !== null;
  useEffect(() => {
    section.current?.scrollIntoView({ block: 'nearest' });
    section.current?.querySelector('.own')?.scrollIntoView({ block: 'nearest' });
  }, [there]);

  const fields = ownFields(data).filter(([name, value]) => name !== 'message' && plain(value).length <= SHARED).map(([name]) => name);
  const ended = answer !== null && answer.before.length < beside && answer.after.length < beside;
  return (
    <section ref={section} class="around" aria-label="Rows around this one" data-around>
      <div class="around-bar">
        <label>Rows with the same <select value={same} onChange={(change) => setSame(change.currentTarget.value)}>
          <option value="">partition</option>
          {fields.map((name) => <option key={name} value={name}>{name}</option>)}
        </select></label>
        {!ended && beside < MOST && <button type="button" class="button" onClick={() => setBeside(beside * 4)}>More</button>}
      </div>
      {wrong && <p class="quiet" role="alert">{wrong}</p>}
      {answer && <ol>
        {answer.before.map((row) => <Line key={key(row)} row={row} />)}
        <Line row={data} own />
        {answer.after.map((row) => <Line key={key(row)} row={row} />)}
      </ol>}
    </section>
  );
}

const key = (row: Data): string => `${plain(row['_offset'])}/${plain(row['_n'])}`;

function Line({ row, own = false }: { row: Data; own?: boolean }): JSX.Element {
  const ms = rowMs(row['_time']);
  return (
    <li class={`${own ? 'own' : ''} ${grade(row) && `g-${grade(row)}`}`} aria-current={own}>
      <time>{Number.isFinite(ms) ? stamp(ms) : plain(row['_time'])}</time><span>{line(row).text}</span>
    </li>
  );
}

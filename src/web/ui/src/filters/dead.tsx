// What no filter could handle: how many letters each topic has and why, the last of them, and trying them again.
//
// A box that does not count its letters is counted by what the queue holds of them.

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import * as api from '../api';
import type { TopicState } from '../api';
import { refresh } from '../box/poll';
import { count, plural } from '../format';
import { explainOrigin } from '../explore/explain';
import { Bones, Dialog, Failed, IconButton, say } from '../parts/bits';
import { Icon } from '../parts/icons';
import { ask } from '../search';
import { view } from '../state';
import type { Graveyard, Letter, Retried } from './life';
import * as life from './life';
import { Value, When } from './shown';

const PREFIX = '_dead.';
const openDead = signal<string | null>(null);

const held = (topic: TopicState): number => topic.partitions.reduce((sum, partition) => sum + partition.high_watermark - partition.log_start, 0);

export function DeadLetters({ topics }: { topics: TopicState[] }): JSX.Element {
  const said = life.dead.value;
  const counted: Graveyard[] = said ?? topics.filter((topic) => topic.name.startsWith(PREFIX))
    .map((topic) => ({ topic: topic.name.slice(PREFIX.length), letters: held(topic), bytes: topic.queue_bytes, oldest: null, newest: null, reasons: [] }));
  const shown = counted.filter((one) => one.letters > 0).sort((a, b) => b.letters - a.letters);
  return (
    <section class="card" aria-label="Dead letters" data-dead>
      <header><h2>Dead letters</h2><small>{shown.length ? count(shown.reduce((sum, one) => sum + one.letters, 0)) : ''}</small></header>
      {!shown.length && <p class="quiet pad">None: every record was handled.</p>}
      {shown.length > 0 && (
        <div class="table-scroll">
          <table class="grid">
            <thead><tr><th>Topic</th><th class="number">Letters</th><th>First</th><th>Last</th><th>Why, mostly</th><th /></tr></thead>
            <tbody>{shown.map((one) => <DeadRow key={one.topic} dead={one} knows={said !== null} />)}</tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function DeadRow({ dead, knows }: { dead: Graveyard; knows: boolean }): JSX.Element {
  const open = openDead.value === dead.topic;
  const toggle = (): void => void (openDead.value = open ? null : dead.topic);
  const first = dead.reasons[0];
  const look = (): void => {
    view.value = 'search';
    ask({ q: `_topic:="${PREFIX}${dead.topic}"`, range: { kind: 'all' } });
  };
  return (
    <>
      <tr class={`topic-row ${open ? 'open' : ''}`} data-dead-topic={dead.topic} onClick={toggle}>
        <th scope="row"><button type="button" class="expander" aria-expanded={open} onClick={(click) => { click.stopPropagation(); toggle(); }}><Icon name={open ? 'down' : 'right'} />{dead.topic}</button></th>
        <td class="number bad">{count(dead.letters)}</td><td><When at={dead.oldest} /></td><td><When at={dead.newest} /></td>
        <td class="chain-short">{first ? `${first.filter}: ${first.reason}` : '–'}</td>
        <td class="end"><button type="button" class="textual" onClick={(click) => { click.stopPropagation(); look(); }}>Look at them</button></td>
      </tr>
      {open && <tr class="topic-open"><td colSpan={6}>{knows ? <Letters dead={dead} /> : <div class="topic-detail group-detail"><p class="quiet">This box says no more of them; the search shows each.</p></div>}</td></tr>}
    </>
  );
}

function Letters({ dead }: { dead: Graveyard }): JSX.Element {
  const [all, setAll] = useState<Letter[] | null>(null);
  const [problem, setProblem] = useState('');
  const [retrying, setRetrying] = useState(false);
  useEffect(() => {
    const abort = new AbortController();
    life.letters(dead.topic, abort.signal).then((found) => { setAll(found); setProblem(''); }, (error: unknown) => { if (!api.isAbort(error)) setProblem(api.sentence(error)); });
    return () => abort.abort();
  }, [dead.topic, dead.letters]);
  return (
    <div class="topic-detail group-detail" data-letters={dead.topic}>
      {dead.reasons.length > 0 && <dl class="diff">{dead.reasons.map((one) => <div key={`${one.filter} ${one.reason}`}><dt>{one.filter || 'sending on'} ({count(one.letters)})</dt><dd>{one.reason}</dd></div>)}</dl>}
      <div class="topic-acts"><IconButton icon="refresh" label="Try them again" text="Try them again" onClick={() => setRetrying(true)} /></div>
      {problem && <Failed title="The letters could not be had" text={problem} />}
      {!all && !problem && <Bones lines={3} />}
      {all && all.length > 0 && (
        <div class="table-scroll">
          <table class="grid">
            <thead><tr><th>Letter</th><th>Buried</th><th>Filter</th><th>Reason</th><th>Record</th><th /></tr></thead>
            <tbody>
              {all.map((letter) => (
                <tr key={`${letter.partition}/${letter.offset}`}>
                  <td><code>{letter.partition}/{letter.offset}</code></td><td><When at={letter.buried} /></td><td>{letter.filter}</td><td class="why">{letter.reason}</td>
                  <td class="chain-short"><Value value={letter.payload?.text ?? letter.payload?.base64} /></td>
                  <td class="end">{explainOrigin(letter.origin) && <><button type="button" class="textual" onClick={explainOrigin(letter.origin) ?? undefined}>Explain</button> </>}<a class="textual" href={life.bundleAddress(dead.topic, letter)} download={`${dead.topic}-${letter.partition}-${letter.offset}.json`} title="A file with which `sawbox filter reproduce` fails anywhere">Bundle</a></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {retrying && <Retry topic={dead.topic} onClose={() => setRetrying(false)} />}
    </div>
  );
}

/** Says what would come of it before it is done. */
function Retry({ topic, onClose }: { topic: string; onClose: () => void }): JSX.Element {
  const [dry, setDry] = useState<Retried | null>(null);
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    life.retry(topic, true).then(setDry, (error: unknown) => setProblem(api.sentence(error)));
  }, [topic]);
  const words = (one: Retried): string => `${plural(one.tried, 'letter')}: ${count(one.stored)} stored, ${count(one.dropped)} dropped, ${count(one.failed)} failed again`;
  const go = async (): Promise<void> => {
    setBusy(true);
    setProblem('');
    try {
      const done = await life.retry(topic, false);
      await Promise.all([life.refreshDead(), refresh()]);
      say(`${words(done)}.`);
      onClose();
    } catch (error) {
      setProblem(api.sentence(error));
      setBusy(false);
    }
  };
  return (
    <Dialog title={`Try the dead letters of ${topic} again?`} onClose={onClose}>
      <form onSubmit={(submit) => { submit.preventDefault(); void go(); }}>
        {!dry && !problem && <Bones lines={2} />}
        {dry && (
          <div class="plan" role="status">
            <p><strong>{words(dry)}</strong>: that is what today’s chain would make of them.</p>
            {dry.not_now > 0 && <p class="quiet">{plural(dry.not_now, 'letter')} cannot be tried right now.</p>}
            {dry.left > 0 && <p class="quiet">{plural(dry.left, 'letter')} are left for another time.</p>}
            {dry.failures.slice(0, 5).map((one) => <p key={`${one.partition}/${one.offset}`} class="quiet"><code>{one.partition}/{one.offset}</code> {one.filter}: {one.reason}</p>)}
            {(dry.notes ?? []).map((note) => <p key={note} class="warn">{note}</p>)}
          </div>
        )}
        {problem && <p class="bad" role="alert">{problem}</p>}
        <footer><button type="button" class="button" onClick={onClose}>Cancel</button><button type="submit" class="button primary" data-confirm disabled={busy || !dry || dry.tried === 0}>{busy ? 'Trying …' : 'Try them again'}</button></footer>
      </form>
    </Dialog>
  );
}

// What a trial found, at a glance: one sentence, the counts, what it costs, the fields that differ, records that do. Then promoted
// or discarded.

import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import * as api from '../api';
import { boxFilters, refresh } from '../box/poll';
import { explained } from '../explore/explain';
import { count, duration, plural, share } from '../format';
import { Bones, Confirm, Failed, say } from '../parts/bits';
import { trialId, writeAddress } from '../state';
import type { Cost, Example, FieldDiff, Outcome, Report, Trial } from './life';
import * as life from './life';
import { Change, ChainList, NO_CHAIN, RawRecord, Value, nanoseconds } from './shown';

const KINDS: [keyof Report & ('same' | 'changed' | 'newly_dropped' | 'newly_kept' | 'newly_failed' | 'mended'), string, string][] = [
  ['same', 'Same', 'the same row, or dropped or failed by both'],
  ['changed', 'Changed', 'stored by both, with other fields'],
  ['newly_dropped', 'Newly dropped', 'stored now, would be dropped'],
  ['newly_kept', 'Newly kept', 'dropped now, would be stored'],
  ['newly_failed', 'Newly failed', 'would become dead letters'],
  ['mended', 'Mended', 'fail now, would not any more'],
];
const FIELDS_SHOWN = 30;

function verdict(trial: Trial): string {
  const { report } = trial;
  if (!report.records) return trial.state === 'running' ? 'Nothing tried yet.' : 'There were no records to try it on.';
  const others = KINDS.slice(1).filter(([kind]) => report[kind] > 0);
  const of = plural(report.records, 'record');
  if (!others.length) return report.emissions_differ ? `Every row is the same; what ${plural(report.emissions_differ, 'record')} of ${count(report.records)} would send to other topics is not.` : `Of ${of}, none would be different.`;
  return `Of ${of}: ${others.map(([kind, name]) => `${count(report[kind])} ${name.toLowerCase()}`).join(', ')}; ${report.same ? 'the others the same' : 'none the same'}.`;
}

export function TrialReport({ id }: { id: string }): JSX.Element {
  const [trial, setTrial] = useState<Trial | null>(null);
  const [problem, setProblem] = useState('');
  const [again, setAgain] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    const look = async (): Promise<void> => {
      try {
        const found = await life.trial(id, abort.signal);
        setTrial(found);
        setProblem('');
        if (found.state === 'running') timer = window.setTimeout(() => void look(), 400);
        else void life.refreshLife(abort.signal);
      } catch (error) {
        if (!api.isAbort(error)) setProblem(api.sentence(error));
      }
    };
    void look();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [id, again]);
  const close = (): void => {
    trialId.value = '';
    writeAddress(false);
  };
  if (problem && !trial) return <div class="report"><Failed title="The trial could not be had" text={problem} onRetry={() => setAgain(again + 1)} /><p class="pad"><button type="button" class="textual" onClick={close}>Close</button></p></div>;
  if (!trial) return <Bones lines={4} />;
  return <Shown trial={trial} problem={problem} onClose={close} onAgain={() => setAgain(again + 1)} />;
}

function Shown({ trial, problem, onClose, onAgain }: { trial: Trial; problem: string; onClose: () => void; onAgain: () => void }): JSX.Element {
  const [promoting, setPromoting] = useState(false);
  const explain = ({ partition, offset }: At): void => void (explained.value = { topic: trial.topic, partition, offset });
  const { report, state } = trial;
  const running = state === 'running';
  const discard = (): void => {
    life.endTrial(trial.id).then(() => { void life.refreshLife(); if (running) onAgain(); else onClose(); }, (error: unknown) => say(api.sentence(error), true));
  };
  return (
    <div class="report" data-report={trial.id} data-state={state}>
      <div class="report-head">
        <div>
          <h3>{trial.topic}: {trial.what}</h3>
          <p class="verdict" role="status">{verdict(trial)}</p>
        </div>
        <div class="report-acts">
          {!running && <button type="button" class="button primary" disabled={!report.records || report.unsteady !== null} onClick={() => setPromoting(true)}>Promote</button>}
          <button type="button" class="button" onClick={discard}>{running ? 'Stop' : 'Discard'}</button>
          <button type="button" class="button" onClick={onClose}>Close</button>
        </div>
      </div>
      {problem && <p class="bad" role="alert">{problem}</p>}
      {trial.error && <p class="bad" role="alert">{trial.error}</p>}
      {running ? <p class="running"><progress max={Math.max(1, trial.of)} value={trial.tried} aria-label="Progress of the trial" /> <small>{count(trial.tried)} of {count(trial.of)} offsets</small></p>
        : <p class="quiet">{state === 'cancelled' ? 'Stopped' : state === 'failed' ? 'Ended' : 'Done'} after {trial.took_ms < 10_000 ? `${count(trial.took_ms)} ms` : duration(trial.took_ms / 1000)}, compared with generation {trial.live.generation ?? 0}.</p>}
      {report.unsteady && <Failed title="The candidate does not always say the same" text={`Of ${report.unsteady.offset === undefined ? 'a record' : `the record at offset ${count(report.unsteady.offset)}`} it said “${String(report.unsteady.before)}”, then “${String(report.unsteady.now)}”. Rows would depend on chance, so it must not be promoted.`} />}
      <Counts report={report} />
      <div class="report-columns">
        <Costs live={report.live} candidate={report.candidate} />
        <Asides report={report} />
      </div>
      {Object.keys(report.fields ?? {}).length > 0 && <Fields fields={report.fields ?? {}} onExplain={explain} />}
      {(report.examples?.length ?? 0) > 0 && <Examples examples={report.examples ?? []} onExplain={explain} />}
      <details class="tried"><summary>The two chains</summary>
        <div class="report-columns">
          <div class="chain"><h4>Now, generation {trial.live.generation ?? 0}</h4><ChainList chain={trial.live.chain} none={NO_CHAIN} /></div>
          <div class="chain"><h4>Tried</h4><ChainList chain={trial.candidate.chain} none={NO_CHAIN} /></div>
        </div>
      </details>
      {promoting && <Promote trial={trial} onClose={() => setPromoting(false)} onDone={onClose} />}
    </div>
  );
}

function Counts({ report }: { report: Report }): JSX.Element {
  return (
    <div class="counts">
      <div class="stack" aria-hidden="true">{KINDS.map(([kind]) => report[kind] > 0 && <i key={kind} class={kind} style={{ flexGrow: String(report[kind]) }} />)}</div>
      <dl>
        {KINDS.map(([kind, name, words]) => (
          <div key={kind} class={`${kind} ${report[kind] ? '' : 'zero'}`} title={words}>
            <dt><i />{name}</dt><dd><strong data-count={kind}>{count(report[kind])}</strong> <small>{report.records ? share(report[kind], report.records) : ''}</small></dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

function difference(live: number, candidate: number): JSX.Element {
  if (!live || live === candidate) return <span class="quiet">{live === candidate ? 'the same' : ''}</span>;
  const percent = ((candidate - live) / live) * 100;
  return <span class={percent > 10 ? 'warn' : percent < -10 ? 'good' : 'quiet'}>{Math.abs(percent) < 0.05 ? '±' : percent > 0 ? '+' : '−'}{Math.abs(percent) < 10 ? Math.abs(percent).toFixed(1) : count(Math.round(Math.abs(percent)))} %</span>;
}

function Costs({ live, candidate }: { live: Cost; candidate: Cost }): JSX.Element {
  const lines: [string, string, (cost: Cost) => number, (figure: number) => string][] = [
    ['Fuel a record', 'about one an instruction; the same at every run', (cost) => cost.fuel_per_record, count],
    ['Time a record', 'on a thread of low priority: compare the two with each other', (cost) => cost.ns_per_record, nanoseconds],
    ['Calls', 'into filters', (cost) => cost.calls, count],
    ['Traps', 'calls that trapped, ran out of fuel or gave no answer', (cost) => cost.traps, count],
  ];
  return (
    <div class="table-scroll costs">
      <table class="grid">
        <thead><tr><th>Cost</th><th class="number">Now</th><th class="number">Tried</th><th class="number">Difference</th></tr></thead>
        <tbody>
          {lines.map(([name, words, of, shown]) => <tr key={name} title={words}><th scope="row">{name}</th><td class="number">{shown(of(live))}</td><td class={`number ${name === 'Traps' && of(candidate) > of(live) ? 'bad' : ''}`}>{shown(of(candidate))}</td><td class="number">{difference(of(live), of(candidate))}</td></tr>)}
        </tbody>
      </table>
    </div>
  );
}

function Asides({ report }: { report: Report }): JSX.Element | null {
  const lists: [string, [string, ComponentChildren][]][] = [
    ['Dropped for', Object.entries(report.drop_reasons).map(([why, hits]) => [why, count(hits)])],
    ['Failed for', Object.entries(report.fail_reasons).map(([why, hits]) => [why, count(hits)])],
    ['Sent to other topics', Object.entries(report.emissions).map(([topic, { live, candidate }]) => [topic, `${count(live)} → ${count(candidate)}`])],
    ['Beside that', ([['could not be read', report.unreadable], ['deleted for good, left out', report.deleted], ['send other things', report.emissions_differ]] as const).filter(([, hits]) => hits > 0).map(([name, hits]) => [name, count(hits)])],
    ['Held back for a while', report.waited && (report.waited.live || report.waited.candidate) ? [['rows', `${count(report.waited.live)} → ${count(report.waited.candidate)}`]] : []],
  ];
  const shown = lists.filter(([, entries]) => entries.length > 0);
  if (!shown.length) return null;
  return <div class="asides">{shown.map(([name, entries]) => <div key={name}><h4>{name}</h4><dl>{entries.map(([word, figure]) => <div key={word}><dt>{word}</dt><dd class="number">{figure}</dd></div>)}</dl></div>)}</div>;
}

type At = { partition: number; offset: number };
function Fields({ fields, onExplain }: { fields: Record<string, FieldDiff>; onExplain: (at: At) => void }): JSX.Element {
  const [all, setAll] = useState(false);
  const hits = (diff: FieldDiff): number => diff.added + diff.removed + diff.changed;
  const sorted = Object.entries(fields).sort((a, b) => hits(b[1]) - hits(a[1]) || a[0].localeCompare(b[0]));
  return (
    <div class="report-part">
      <h4>Fields that differ <small>{count(sorted.length)}</small></h4>
      <ul class="field-diffs">
        {sorted.slice(0, all ? sorted.length : FIELDS_SHOWN).map(([name, diff]) => (
          <li key={name} data-field-diff={name}>
            <div><code>{name}</code> <small>{([['added', diff.added], ['removed', diff.removed], ['changed', diff.changed]] as const).filter(([, hits_]) => hits_ > 0).map(([word, hits_]) => `${word} in ${count(hits_)}`).join(', ')}</small></div>
            <ul>{diff.examples.map((example) => <li key={`${example.partition}/${example.offset}`}><Change old={example.old} now={example.new} /> <button type="button" class="textual at" title="Explain this record" onClick={() => onExplain(example)}>{example.partition}/{example.offset}</button></li>)}</ul>
          </li>
        ))}
      </ul>
      {!all && sorted.length > FIELDS_SHOWN && <button type="button" class="textual" onClick={() => setAll(true)}>All {count(sorted.length)}</button>}
    </div>
  );
}

function end(outcome: Outcome | null): ComponentChildren {
  if (!outcome) return 'nothing';
  return outcome.verdict === 'store' ? 'stored' : <>{outcome.verdict === 'drop' ? 'dropped' : outcome.verdict === 'fail' ? 'failed' : outcome.verdict}{outcome.reason && outcome.reason !== 'dropped' ? `: ${outcome.reason}` : ''}</>;
}

function Examples({ examples, onExplain }: { examples: Example[]; onExplain: (at: At) => void }): JSX.Element {
  return (
    <div class="report-part">
      <h4>Records that differ <small>{count(examples.length)} of them</small></h4>
      {KINDS.slice(1).map(([kind, name]) => {
        const own = examples.filter((example) => example.kind === kind);
        return own.length > 0 && <div key={kind}>{own.map((example, at) => <OneExample key={`${example.partition}/${example.offset}`} example={example} kind={kind} name={name} first={at === 0} onExplain={onExplain} />)}</div>;
      })}
      {examples.filter((example) => !KINDS.some(([kind]) => kind === example.kind)).map((example) => <OneExample key={`${example.partition}/${example.offset}`} example={example} kind="same" name={example.kind.replace(/_/g, ' ')} first={false} onExplain={onExplain} />)}
    </div>
  );
}

function OneExample({ example, kind, name, first, onExplain }: { example: Example; kind: string; name: string; first: boolean; onExplain: (at: At) => void }): JSX.Element {
  const old = example.old?.fields ?? {};
  const now = example.new?.fields ?? {};
  const both = example.old?.verdict === 'store' && example.new?.verdict === 'store';
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])].sort();
  const different = names.filter((field) => JSON.stringify(old[field]) !== JSON.stringify(now[field]));
  return (
    <details class="example" open={first} data-example={kind}>
      <summary><span class={`kind ${kind}`}><i />{name}</span> <code>{example.partition}/{example.offset}</code> <span class="quiet example-line">{example.raw?.text ?? ''}</span></summary>
      <div class="example-inside">
        <p>{end(example.old)} <i>→</i> {end(example.new)} <button type="button" class="textual" onClick={() => onExplain(example)}>Explain</button></p>
        <dl class="diff">
          {(both ? different : names).map((field) => <div key={field}><dt>{field}</dt><dd>{both ? <Change old={old[field]} now={now[field]} /> : <Value value={field in now ? now[field] : old[field]} />}</dd></div>)}
        </dl>
        <h4>As it came</h4>
        <RawRecord raw={example.raw} />
      </div>
    </details>
  );
}

function Promote({ trial, onClose, onDone }: { trial: Trial; onClose: () => void; onDone: () => void }): JSX.Element {
  const chain = life.written(trial.candidate.chain, boxFilters.value.value);
  const { report } = trial;
  return (
    <Confirm title={`Promote this chain for ${trial.topic}?`} action="Promote" busy="Promoting …" onClose={onClose} work={async () => {
      const { generation } = await life.promote(trial.topic, { chain });
      await refresh();
      onDone();
      return `${trial.topic} is at generation ${generation} now.`;
    }}>
      <div class="chain"><ChainList chain={trial.candidate.chain} none={NO_CHAIN} /></div>
      <p>{verdict(trial)}</p>
      {trial.state !== 'done' && <p class="warn">The trial did not get through all records.</p>}
      {report.newly_failed > 0 && <p class="bad">{plural(report.newly_failed, 'record')} of the trial would become dead letters.</p>}
      <p class="quiet">It becomes a new generation from the next batch on. Rows that are stored stay as they are; a replay makes them anew. Rolling back is one step.</p>
    </Confirm>
  );
}

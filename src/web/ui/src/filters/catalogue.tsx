// The catalogue of filters: what each did, and its versions; putting a module in, by choosing or dropping it.

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import * as api from '../api';
import type { FilterState } from '../api';
import { boxFilters, refresh } from '../box/poll';
import { bytes, count, short } from '../format';
import { Bones, Confirm, CopyButton, Failed, IconButton } from '../parts/bits';
import { Icon } from '../parts/icons';
import type { VersionState } from './life';
import * as life from './life';
import { PutFilter, fileName } from './put';
import { When, nanoseconds } from './shown';
import { askTrial } from './trials';

const openFilter = signal<string | null>(null);

export function FilterCatalogue(): JSX.Element {
  const { value, problem } = boxFilters.value;
  const [file, setFile] = useState<{ file: File; name: string } | null>(null);
  const [over, setOver] = useState(false);
  const picker = useRef<HTMLInputElement>(null);
  const target = useRef('');
  const pick = (name = ''): void => {
    target.current = name;
    picker.current?.click();
  };
  const take = (chosen: File | undefined, name = ''): void => {
    if (chosen) setFile({ file: chosen, name: name || fileName(chosen) });
  };
  const used = (filter: FilterState): number => (filter.counters?.records ? 2 : 0) + (filter.used_by.length ? 1 : 0);
  const sorted = [...(value ?? [])].sort((a, b) => used(b) - used(a) || a.name.localeCompare(b.name));
  return (
    <section class={`card filters ${over ? 'over' : ''}`} aria-label="Filters" data-filters
      onDragOver={(drag) => { drag.preventDefault(); setOver(true); }} onDragLeave={() => setOver(false)}
      onDrop={(drop) => { drop.preventDefault(); setOver(false); take(drop.dataTransfer?.files[0]); }}>
      <header>
        <h2>Filters</h2><small>{value ? count(value.length) : ''}</small><span class="gap" />
        <IconButton icon="upload" label="Put a filter in" text="Put a filter in" onClick={() => pick()} />
        <input ref={picker} class="offscreen" type="file" accept=".wasm,application/wasm" tabIndex={-1} aria-label="WebAssembly module" data-wasm
          onChange={(change) => { take(change.currentTarget.files?.[0], target.current); change.currentTarget.value = ''; }} />
      </header>
      {problem && !value && <Failed title="The filters could not be had" text={problem} onRetry={() => void refresh()} />}
      {!value && !problem && <Bones lines={4} />}
      {value && (
        <div class="table-scroll">
          <table class="grid">
            <thead>
              <tr>
                <th>Filter</th><th>Version</th><th>Used by</th><th class="number" title="given to it since the box’s start, over all topics">Records</th><th class="number">Stored</th><th class="number">Dropped</th><th class="number">Failed</th>
                <th class="number" title="about one an instruction; the same at every run">Fuel a record</th><th class="number">Time a record</th><th class="number" title="calls that trapped, ran out of fuel or gave no answer">Traps</th><th class="number" title="the largest after a call">Memory</th><th class="number">Size</th>
              </tr>
            </thead>
            <tbody>{sorted.map((filter) => <FilterRow key={filter.name} filter={filter} onPick={pick} />)}</tbody>
          </table>
          {!value.length && <p class="quiet pad">No filters yet. Drop a .wasm here.</p>}
        </div>
      )}
      {file && <PutFilter file={file.file} first={file.name} known={value ?? []} onClose={() => setFile(null)} />}
    </section>
  );
}

function FilterRow({ filter, onPick }: { filter: FilterState; onPick: (name: string) => void }): JSX.Element {
  const open = openFilter.value === filter.name;
  const toggle = (): void => void (openFilter.value = open ? null : filter.name);
  const counters = filter.counters;
  const figure = (value: number | undefined): string => (value === undefined ? '–' : short(value));
  const each = counters && counters.records > 0 ? counters.records : null;
  return (
    <>
      <tr class={`topic-row ${open ? 'open' : ''}`} data-filter={filter.name} onClick={toggle}>
        <th scope="row"><button type="button" class="expander" aria-expanded={open} onClick={(click) => { click.stopPropagation(); toggle(); }}><Icon name={open ? 'down' : 'right'} />{filter.name}</button></th>
        <td>{filter.version === null ? <span class="warn">waits</span> : filter.stock ? <span class="quiet">stock</span> : filter.version ?? 'own'}</td>
        <td>{filter.used_by.length ? filter.used_by.map((topic) => <span key={topic} class="tag plain">{topic}</span>) : <span class="quiet">no topic</span>}</td>
        <td class="number" title={counters ? count(counters.records) : ''}>{figure(counters?.records)}</td><td class="number">{figure(counters?.stored)}</td><td class="number">{figure(counters?.dropped)}</td>
        <td class={`number ${counters?.failed ? 'bad' : ''}`}>{figure(counters?.failed)}</td>
        <td class="number">{counters && each ? count(Math.round(counters.fuel / each)) : '–'}</td><td class="number">{counters && each ? nanoseconds(counters.time_ns / each) : '–'}</td>
        <td class={`number ${counters?.traps ? 'bad' : ''}`}>{counters ? count(counters.traps) : '–'}</td><td class="number">{counters ? bytes(counters.memory_bytes) : '–'}</td>
        <td class="number">{filter.bytes === undefined ? '–' : bytes(filter.bytes)}</td>
      </tr>
      {open && <tr class="topic-open"><td colSpan={12}><Versions filter={filter} onPick={onPick} /></td></tr>}
    </>
  );
}

function Versions({ filter, onPick }: { filter: FilterState; onPick: (name: string) => void }): JSX.Element {
  const [all, setAll] = useState<VersionState[] | null>(null);
  const [problem, setProblem] = useState('');
  const [asking, setAsking] = useState<VersionState | null>(null);
  const round = boxFilters.value;
  useEffect(() => {
    const abort = new AbortController();
    life.versions(filter.name, abort.signal).then((found) => { setAll(found); setProblem(''); }, (error: unknown) => { if (!api.isAbort(error)) setProblem(api.sentence(error)); });
    return () => abort.abort();
  }, [filter.name, round]);
  return (
    <div class="topic-detail group-detail partitions" data-versions={filter.name}>
      <h3>Versions <small>a chain that says <code>{filter.name}</code> has the current one, <code>{filter.name}@3</code> always the third</small></h3>
      {problem && !all && <Failed title="The versions could not be had" text={problem} onRetry={() => void refresh()} />}
      {!all && !problem && <Bones lines={2} />}
      {all && (
        <div class="table-scroll">
          <table class="grid">
            <thead><tr><th class="number">Version</th><th /><th>Put</th><th>By</th><th class="number">Size</th><th>SHA-256</th><th>Used by</th><th /></tr></thead>
            <tbody>
              {[...all].reverse().map((one) => (
                <tr key={one.version} data-version={one.version}>
                  <td class="number">{one.version}</td>
                  <td>{one.current ? <span class="mark good"><i />current</span> : <span class="quiet">waits or was</span>}</td>
                  <td><When at={one.at} otherwise={one.stock ? 'with the box' : 'before times were noted'} /></td><td>{one.by ?? '–'}</td>
                  <td class="number">{one.bytes === null ? <span class="bad">lost</span> : bytes(one.bytes)}</td>
                  <td><code class="sha" title={one.sha256}>{one.sha256.slice(0, 12)}</code><CopyButton text={one.sha256} what="SHA-256" /></td>
                  <td>{one.used_by.length ? one.used_by.map(({ topic, generations, live }) => <span key={topic} class={`tag ${live ? '' : 'past'} plain`} title={`generations ${generations.join(', ')}`}>{topic}{live ? '' : ' (before)'}</span>) : <span class="quiet">no topic</span>}</td>
                  <td class="end">
                    <button type="button" class="textual" onClick={() => askTrial(one.used_by[0]?.topic ?? '', filter.name, one.version)}>Try</button>
                    {!one.current && <> <button type="button" class="textual" onClick={() => setAsking(one)}>Promote</button></>}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <div class="topic-acts"><IconButton icon="upload" label={`Put another version of ${filter.name} in`} text="Another version" onClick={() => onPick(filter.name)} /></div>
      {asking && (
        <Confirm title={`Promote version ${asking.version} of ${filter.name}?`} action="Promote" busy="Promoting …" onClose={() => setAsking(null)} work={async () => {
          const done = await life.promoteVersion(filter.name, asking.version);
          await refresh();
          const opened = done.generations.map(({ topic, generation }) => `${topic} at generation ${generation}`).join(', ');
          const kept = done.kept.map(({ topic }) => topic).join(', ');
          return `${filter.name} is version ${done.version} now${opened ? `: ${opened}` : ''}.${kept ? ` Stays as it was: ${kept}.` : ''}`;
        }}>
          <p>{filter.used_by.length ? <>Every chain that says the plain name goes over to it at its next batch: {filter.used_by.join(', ')}. Have you tried it on what came in?</> : 'No topic uses it now.'}</p>
        </Confirm>
      )}
    </div>
  );
}

// The catalogue of filters, and putting a new module in: chosen or dropped, confirmed with what it touches, answered with
// the generations it opened or the reason why the box refused it.

import type { JSX } from 'preact';
import { useRef, useState } from 'preact/hooks';
import * as api from '../api';
import type { FilterState, PutFilterAnswer } from '../api';
import { bytes, count, plural } from '../format';
import { Bones, CopyButton, Dialog, Failed, IconButton } from '../parts/bits';
import { boxFilters, refresh } from './poll';

const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
const MAGIC = [0x00, 0x61, 0x73, 0x6d];

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
    if (chosen) setFile({ file: chosen, name: name || chosen.name.replace(/\.wasm$/i, '').toLowerCase().replace(/[^a-z0-9_-]+/g, '-') });
  };
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
            <thead><tr><th>Filter</th><th>Kind</th><th class="number">Size</th><th>SHA-256</th><th>Used by</th><th /></tr></thead>
            <tbody>
              {value.map((filter) => (
                <tr key={filter.name} data-filter={filter.name}>
                  <th scope="row">{filter.name}</th>
                  <td>{filter.stock ? <span class="quiet">stock</span> : 'own'}</td>
                  <td class="number">{bytes(filter.bytes)}</td>
                  <td><code class="sha" title={filter.sha256}>{filter.sha256.slice(0, 12)}</code><CopyButton text={filter.sha256} what="SHA-256" /></td>
                  <td>{filter.used_by.length ? filter.used_by.map((topic) => <span key={topic} class="tag">{topic}</span>) : <span class="quiet">no topic</span>}</td>
                  <td class="end"><button type="button" class="textual" onClick={() => pick(filter.name)}>Replace</button></td>
                </tr>
              ))}
            </tbody>
          </table>
          {!value.length && <p class="quiet pad">No filters yet. Drop a .wasm here.</p>}
        </div>
      )}
      {file && <PutFilter file={file.file} first={file.name} known={value ?? []} onClose={() => setFile(null)} />}
    </section>
  );
}

function PutFilter({ file, first, known, onClose }: { file: File; first: string; known: FilterState[]; onClose: () => void }): JSX.Element {
  const [name, setName] = useState(first);
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(false);
  const [done, setDone] = useState<PutFilterAnswer | null>(null);
  const old = known.find((filter) => filter.name === name);
  const put = async (): Promise<void> => {
    setProblem('');
    const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
    if (!MAGIC.every((byte, at) => head[at] === byte)) return setProblem(`${file.name} is no WebAssembly module: it does not begin with \\0asm.`);
    setBusy(true);
    try {
      setDone(await api.putFilter(name, file));
      void refresh();
    } catch (error) {
      setProblem(api.sentence(error));
    } finally {
      setBusy(false);
    }
  };
  if (done) {
    return (
      <Dialog title={`${done.name} is in place`} onClose={onClose}>
        <p>SHA-256 <code class="sha">{done.sha256}</code></p>
        {done.generations.length ? <ul class="plain-list" data-generations>{done.generations.map(({ topic, generation }) => <li key={topic}><strong>{topic}</strong> is at generation {generation} now</li>)}</ul> : <p class="quiet">No topic’s chain uses it yet.</p>}
        <footer><button type="button" class="button primary" onClick={onClose}>Good</button></footer>
      </Dialog>
    );
  }
  return (
    <Dialog title={old ? `Replace ${name}?` : `Put ${name || 'a filter'} in?`} onClose={onClose}>
      <form onSubmit={(submit) => { submit.preventDefault(); void put(); }}>
        <p><code>{file.name}</code>, {bytes(file.size)}</p>
        <label class="field-input">Name <input value={name} aria-invalid={!NAME.test(name)} spellcheck={false} onInput={(input) => setName(input.currentTarget.value)} /></label>
        {!NAME.test(name) && <p class="bad">Small letters, digits, - and _ make a name.</p>}
        <p class="quiet">
          {!old ? 'It is checked, compiled and kept; a chain has to name it before it does anything.'
            : old.used_by.length ? `It runs in ${plural(old.used_by.length, 'topic')}: ${old.used_by.join(', ')}. Each opens a new generation at a batch boundary; nothing is lost or handled twice. If the box refuses the module, the running one stays.`
            : 'No topic uses it now.'}
        </p>
        {problem && <p class="bad" role="alert">{problem}</p>}
        <footer><button type="button" class="button" onClick={onClose}>Cancel</button><button type="submit" class="button primary" disabled={busy || !NAME.test(name)}>{busy ? 'Checking …' : old ? 'Replace' : 'Put in'}</button></footer>
      </form>
    </Dialog>
  );
}

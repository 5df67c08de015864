// Putting a module in: confirmed with what it touches, answered with the generations it opened or why the box refused it.

import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import * as api from '../api';
import type { FilterState, PutFilterAnswer } from '../api';
import { refresh } from '../box/poll';
import { bytes, plural } from '../format';
import { Dialog } from '../parts/bits';
import { askTrial } from './trials';

const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
const MAGIC = [0x00, 0x61, 0x73, 0x6d];

/** A filter's name out of a file's. */
export const fileName = (file: File): string => file.name.replace(/\.wasm$/i, '').toLowerCase().replace(/[^a-z0-9_-]+/g, '-');

/** Why a file is no module at first sight; empty if it may be one. */
async function refusal(file: File): Promise<string> {
  const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  return MAGIC.every((byte, at) => head[at] === byte) ? '' : `${file.name} is no WebAssembly module: it does not begin with \\0asm.`;
}

interface PutProps { file: File; first: string; known: FilterState[]; onClose: () => void; onPut?: (done: PutFilterAnswer) => void }
/** With `onPut` the module is only kept to be tried, and what is put is handed over. */
export function PutFilter({ file, first, known, onClose, onPut }: PutProps): JSX.Element {
  const [name, setName] = useState(first);
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(false);
  const [done, setDone] = useState<PutFilterAnswer | null>(null);
  const old = known.find((filter) => filter.name === name);
  const users = old?.used_by ?? [];
  const [chosen, setChosen] = useState<boolean | null>(null);
  // What runs is not changed unless that is asked for.
  const promote = !onPut && (chosen ?? users.length === 0);
  const put = async (): Promise<void> => {
    setProblem('');
    const why = await refusal(file);
    if (why) return setProblem(why);
    setBusy(true);
    try {
      const answer = await api.putFilter(name, file, promote);
      void refresh();
      if (onPut) onPut(answer);
      else setDone(answer);
    } catch (error) {
      setProblem(api.sentence(error));
    } finally {
      setBusy(false);
    }
  };
  if (done) {
    const waits = done.current === false;
    return (
      <Dialog title={waits ? `${done.name} ${done.version ?? ''} waits to be tried` : `${done.name} is in place`} onClose={onClose}>
        <p>SHA-256 <code class="sha">{done.sha256}</code></p>
        {done.generations.length ? <ul class="plain-list" data-generations>{done.generations.map(({ topic, generation }) => <li key={topic}><strong>{topic}</strong> is at generation {generation} now</li>)}</ul>
          : <p class="quiet">{waits ? 'Nothing that runs has changed.' : 'No topic’s chain uses it yet.'}</p>}
        <footer>
          <button type="button" class="button" onClick={() => { onClose(); askTrial(users[0] ?? '', done.name, done.version); }}>Try it on what came in</button>
          <button type="button" class="button primary" onClick={onClose}>Good</button>
        </footer>
      </Dialog>
    );
  }
  return (
    <Dialog title={old ? `Another version of ${name}?` : `Put ${name || 'a filter'} in?`} onClose={onClose}>
      <form onSubmit={(submit) => { submit.preventDefault(); void put(); }}>
        <p><code>{file.name}</code>, {bytes(file.size)}</p>
        <label class="field-input">Name <input value={name} aria-invalid={!NAME.test(name)} spellcheck={false} onInput={(input) => setName(input.currentTarget.value)} /></label>
        {!NAME.test(name) && <p class="bad">Small letters, digits, - and _ make a name.</p>}
        {!onPut && <label class="check"><input type="checkbox" checked={promote} onChange={(change) => setChosen(change.currentTarget.checked)} /> Use it at once wherever the name is</label>}
        <p class="quiet">
          {!promote ? 'It is checked, compiled and kept as a version that waits; nothing that runs changes until you promote it.'
            : !old ? 'It is checked, compiled and kept; a chain has to name it before it does anything.'
            : users.length ? `It runs in ${plural(users.length, 'topic')}: ${users.join(', ')}. Each opens a new generation at a batch boundary; nothing is lost or handled twice. If the box refuses the module, the running one stays.`
            : 'No topic uses it now.'}
        </p>
        {problem && <p class="bad" role="alert">{problem}</p>}
        <footer><button type="button" class="button" onClick={onClose}>Cancel</button><button type="submit" class="button primary" disabled={busy || !NAME.test(name)}>{busy ? 'Checking …' : !promote ? 'Keep it to try' : old ? 'Replace' : 'Put in'}</button></footer>
      </form>
    </Dialog>
  );
}

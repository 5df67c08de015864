// Changing a topic's chain: its entries as JSON, put as a new generation. What the box refuses, it says why.

import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import * as api from '../api';
import type { TopicState } from '../api';
import { chainText } from '../filters/life';
import { Dialog, say } from '../parts/bits';
import { boxFilters, refresh } from './poll';

export function ChainEditor({ topic, onClose }: { topic: TopicState; onClose: () => void }): JSX.Element {
  const [text, setText] = useState(chainText(topic.chain));
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(false);
  const put = async (): Promise<void> => {
    try {
      if (!Array.isArray(JSON.parse(text))) return setProblem('A chain is a list: [ {"filter": "…"}, … ].');
    } catch (error) {
      return setProblem(`This is not JSON: ${api.sentence(error)}`);
    }
    setBusy(true);
    try {
      await api.putChain(topic.name, text);
      await refresh();
      const now = api.topics(null);
      say(`${topic.name} is at generation ${(await now).find((other) => other.name === topic.name)?.generation ?? '?'} now.`);
      onClose();
    } catch (error) {
      setProblem(api.sentence(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog title={`Chain of ${topic.name}`} onClose={onClose}>
      <p class="quiet">In order; each may have a condition (<code>when</code>, in the query language) and a configuration. It becomes a new generation at a batch boundary; rows that are stored stay as they are.</p>
      <textarea class="code-area" rows={14} spellcheck={false} value={text} aria-label="Chain as JSON" onInput={(input) => { setText(input.currentTarget.value); setProblem(''); }} />
      {boxFilters.value.value && <p class="quiet">Filters: {boxFilters.value.value.map((filter) => filter.name).join(', ')}</p>}
      {problem && <p class="bad" role="alert">{problem}</p>}
      <footer><button type="button" class="button" onClick={onClose}>Cancel</button><button type="button" class="button primary" disabled={busy} onClick={() => void put()}>{busy ? 'Promoting …' : 'Promote as a new generation'}</button></footer>
    </Dialog>
  );
}

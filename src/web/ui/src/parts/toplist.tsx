// The most frequent values of a field in the rows of the current question, each with its share and the two ways to go on.

import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import * as api from '../api';
import { count, plain, share } from '../format';
import { narrow, span } from '../search';
import { Bar, Bones, IconButton } from './bits';

export function TopList({ field }: { field: string }): JSX.Element {
  const [answer, setAnswer] = useState<api.TopValues | null>(null);
  const [problem, setProblem] = useState('');
  const [limit, setLimit] = useState(8);
  const current = span.value;
  useEffect(() => {
    const abort = new AbortController();
    setProblem('');
    api.top(current, field, limit, abort.signal).then(setAnswer, (error: unknown) => {
      if (!api.isAbort(error)) setProblem(api.sentence(error));
    });
    return () => abort.abort();
  }, [current, field, limit]);
  if (problem) return <p class="top-note bad">{problem}</p>;
  if (!answer) return <Bones lines={3} class="top" />;
  if (!answer.values.length) return <p class="top-note">No row of this question has the field.</p>;
  const greatest = answer.values[0]?.count ?? 0;
  const shown = answer.values.reduce((sum, value) => sum + value.count, 0);
  const rest = answer.total - shown;
  return (
    <div class="top" data-top={field}>
      <ol>
        {answer.values.map(({ value, count: hits }) => (
          <li key={plain(value)}>
            <Bar part={hits} all={greatest} />
            <span class="top-value" title={plain(value)}>{plain(value) === '' ? <em>empty</em> : plain(value)}</span>
            <span class="top-count" title={share(hits, answer.total)}>{count(hits)}</span>
            <span class="top-acts">
              <IconButton icon="plus" label={`Show only ${field} ${plain(value)}`} onClick={() => narrow(field, value, true)} />
              <IconButton icon="minus" label={`Leave out ${field} ${plain(value)}`} onClick={() => narrow(field, value, false)} />
            </span>
          </li>
        ))}
      </ol>
      <p class="top-note">
        {answer.values.length < limit ? `${count(answer.values.length)} ${answer.values.length === 1 ? 'value' : 'values'}` : rest > 0 ? `${count(rest)} more with other values` : ''}
        {answer.values.length === limit && limit < 50 && <button type="button" class="textual" onClick={() => setLimit(50)}>Show 50</button>}
      </p>
    </div>
  );
}

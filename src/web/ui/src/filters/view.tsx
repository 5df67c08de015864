// The filters' view: what chains the topics have and had, trials before a change, replays of what was handled already, what
// no filter could handle, and the filters themselves.

import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { boxTopics, refresh } from '../box/poll';
import { Bones, Failed } from '../parts/bits';
import { FilterCatalogue } from './catalogue';
import { Chains } from './chains';
import { DeadLetters } from './dead';
import { watchLife } from './life';
import { Replays } from './replays';
import { Trials } from './trials';

export function Filters(): JSX.Element {
  useEffect(() => watchLife(), []);
  const { value, problem } = boxTopics.value;
  return (
    <main class="box" data-filters-view>
      <div class="box-inside">
        {problem && !value && <Failed title="The topics could not be had" text={problem} onRetry={() => void refresh()} />}
        {!value && !problem && <Bones lines={6} />}
        {value && <>
          <Chains topics={value} stale={problem} />
          <Trials topics={value} />
        </>}
        <Replays topics={value ?? []} />
        {value && <DeadLetters topics={value} />}
        <FilterCatalogue />
      </div>
    </main>
  );
}

// The fields of the rows that match, with type and how many rows have them; a click shows the most frequent values.

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import type { FieldInfo } from '../api';
import { share } from '../format';
import { Bones, Failed, IconButton } from '../parts/bits';
import { Icon } from '../parts/icons';
import { TopList } from '../parts/toplist';
import { bars, fieldList, fieldsPhase, fieldsProblem, refreshSideways, toggleColumn } from '../search';
import { columns } from '../state';
import { ORIGIN_FIELDS } from './rowmodel';
import { TypeMark } from './types';

/** Whether the panel is open where there is no room beside the rows. */
export const panelOpen = signal(false);
const openField = signal<string | null>(null);
const sought = signal('');

const ORIGIN: FieldInfo[] = [
  { name: '_topic', count: -1, types: ['string'] },
  { name: '_partition', count: -1, types: ['integer'] },
  { name: '_generation', count: -1, types: ['integer'] },
];

export function FieldPanel(): JSX.Element {
  const phase = fieldsPhase.value;
  const needle = sought.value.trim().toLowerCase();
  const matching = (field: FieldInfo): boolean => field.name.toLowerCase().includes(needle);
  const own = fieldList.value.filter((field) => !ORIGIN_FIELDS.has(field.name) && field.name !== 'message' && matching(field));
  const origin = ORIGIN.filter(matching);
  const total = bars.value?.total ?? 0;
  return (
    <aside class={`fields ${panelOpen.value ? 'shown' : ''}`} id="fields" aria-label="Fields">
      <div class="fields-head">
        <h2>Fields</h2>
        <input type="search" placeholder="Find a field" aria-label="Find a field" value={sought.value} onInput={(input) => void (sought.value = input.currentTarget.value)} />
        <IconButton class="only-narrow" icon="close" label="Close the fields" onClick={() => void (panelOpen.value = false)} />
      </div>
      <div class="fields-body">
        {phase === 'failed' ? <Failed title="The fields could not be had" text={fieldsProblem.value} onRetry={refreshSideways} />
          : (phase === 'loading' || phase === 'idle') && !fieldList.value.length ? <Bones lines={10} />
          : (
            <div class={phase === 'loading' || phase === 'refused' ? 'stale' : ''}>
              <ul class="field-list">{own.map((field) => <FieldItem key={field.name} field={field} total={total} />)}</ul>
              {!own.length && phase === 'done' && <p class="quiet pad">{needle ? 'No field of that name.' : 'The rows found have no fields of their own.'}</p>}
              {origin.length > 0 && <>
                <h3>Origin</h3>
                <ul class="field-list">{origin.map((field) => <FieldItem key={field.name} field={field} total={total} />)}</ul>
              </>}
            </div>
          )}
      </div>
    </aside>
  );
}

function FieldItem({ field, total }: { field: FieldInfo; total: number }): JSX.Element {
  const open = openField.value === field.name;
  const shown = columns.value.includes(field.name);
  return (
    <li class={open ? 'open' : ''} data-field-item={field.name}>
      <div class="field-line">
        <button type="button" class="field-button" aria-expanded={open} onClick={() => void (openField.value = open ? null : field.name)}>
          <TypeMark type={field.types[0] ?? 'string'} />
          <span class="field-name" title={`${field.name}: ${field.types.join(', ')}`}>{field.name}</span>
          {field.count >= 0 && total > 0 && field.count < total && <small title="rows that have it">{share(field.count, total)}</small>}
          <Icon name={open ? 'down' : 'right'} />
        </button>
        <IconButton class="field-column" icon="column" label={shown ? `Take the column ${field.name} away` : `Show ${field.name} as a column`} pressed={shown} onClick={() => toggleColumn(field.name)} />
      </div>
      {open && <TopList field={field.name} />}
    </li>
  );
}

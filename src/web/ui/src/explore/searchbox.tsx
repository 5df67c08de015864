// The search box: the query coloured as it is typed, an error underlined where it is, and help for what comes next.
//
// A transparent text area lies over a mirror that paints the text; both wrap alike, so the box grows with the query and
// nothing has to be scrolled in step. Enter asks. Suggestions are taken with Tab, or with Enter once one was chosen.

import { effect, untracked } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import * as api from '../api';
import { count, plain } from '../format';
import { askedAt, charAt, errorSpan, pieces, written, writtenField } from '../language';
import { Icon } from '../parts/icons';
import { Popover } from '../parts/bits';
import { ask, draft, fieldList, phase, problem, span } from '../search';
import { asked } from '../state';

interface Hint { text: string; note: string; insert: string }
interface Hints { start: number; end: number; list: Hint[]; chosen: number; title: string }

const COMMANDS: Hint[] = [
  { text: 'stats', note: 'count() by field', insert: 'stats ' },
  { text: 'sort', note: '-count()', insert: 'sort ' },
  { text: 'limit', note: '20', insert: 'limit ' },
  { text: 'top', note: '10 field', insert: 'top 10 ' },
  { text: 'where', note: 'count()>100', insert: 'where ' },
  { text: 'fields', note: 'a, b', insert: 'fields ' },
];
const FUNCTIONS: Hint[] = [
  { text: 'count()', note: 'rows', insert: 'count() ' },
  ...['sum', 'avg', 'min', 'max'].map((name) => ({ text: `${name}(field)`, note: 'of a number', insert: `${name}(` })),
  ...['p50', 'p99'].map((name) => ({ text: `${name}(field)`, note: 'percentile', insert: `${name}(` })),
  { text: 'count_distinct(field)', note: 'different values', insert: 'count_distinct(' },
  { text: 'by', note: 'group by fields', insert: 'by ' },
];
const EXAMPLES: [string, string][] = [
  ['timeout', 'the word in the message'],
  ['"connection reset"', 'the phrase in the message'],
  ['response:404', 'a field with this value'],
  ['response>=500', 'compared; also < <= > and [400 TO 499]'],
  ['request:/blog/*', 'wildcards * and ?'],
  ['verb:=GET', 'the whole value, exactly'],
  ['referrer:*', 'the field is there'],
  ['clientip:10.0.0.0/8', 'an address in a network'],
  ['-verb:GET', 'not; also not verb:GET'],
  ['verb:GET (response:404 or response:500)', 'side by side means and'],
  ['* | stats count() by response', 'a table instead of rows'],
  ['* | stats count(), p99(took_ms) by bin(5m)', 'percentiles over time'],
  ['* | stats count(), avg(bytes) by verb | sort -count() | limit 10', 'pipes go on from left to right'],
];

const escapeFirst = (text: string): Hint['insert'] => `${writtenField(text)}:`;

async function suggestions(text: string, caret: number, abort: AbortSignal): Promise<Hints | null> {
  const at = askedAt(text, caret);
  if (!at) return null;
  const base = { start: at.start, end: at.end, chosen: -1 };
  const typed = at.typed.toLowerCase().replace(/^"/, '');
  if (at.kind === 'command') return { ...base, title: 'Pipes', list: COMMANDS.filter((hint) => hint.text.startsWith(typed)) };
  if (at.kind === 'function') return { ...base, title: 'Statistics', list: FUNCTIONS.filter((hint) => hint.text.startsWith(typed)) };
  if (at.kind === 'field') {
    const bare = text.slice(0, caret).includes('|');
    const list = fieldList.value
      .filter((field) => field.name.toLowerCase().includes(typed) && field.name.toLowerCase() !== typed)
      .sort((a, b) => Number(b.name.toLowerCase().startsWith(typed)) - Number(a.name.toLowerCase().startsWith(typed)))
      .slice(0, 8)
      .map((field) => ({ text: field.name, note: field.types.join(', '), insert: bare ? writtenField(field.name) : escapeFirst(field.name) }));
    return { ...base, title: 'Fields', list };
  }
  // Values of the whole span, not only of what the unfinished query finds.
  const answer = await api.top({ ...span.value, q: '' }, at.field, 30, abort);
  const list = answer.values
    .filter(({ value }) => plain(value).toLowerCase().includes(typed) && plain(value) !== at.typed)
    .slice(0, 8)
    .map(({ value, count: hits }) => ({ text: plain(value), note: count(hits), insert: `${written(value)} ` }));
  return { ...base, title: `Values of ${at.field}`, list };
}

export function SearchBox(): JSX.Element {
  const area = useRef<HTMLTextAreaElement>(null);
  const [hints, setHints] = useState<Hints | null>(null);
  const pending = useRef<AbortController | null>(null);
  const timer = useRef(0);

  useEffect(() => effect(() => {
    const text = asked.value;
    if (untracked(() => draft.value) !== text) draft.value = text;
  }), []);

  const close = (): void => {
    clearTimeout(timer.current);
    pending.current?.abort();
    setHints(null);
  };
  const look = (): void => {
    clearTimeout(timer.current);
    pending.current?.abort();
    const node = area.current;
    if (!node) return;
    const abort = new AbortController();
    pending.current = abort;
    timer.current = window.setTimeout(() => {
      suggestions(node.value, node.selectionStart, abort.signal).then(
        (found) => { if (!abort.signal.aborted && document.activeElement === node) setHints(found?.list.length ? found : null); },
        () => undefined, // A hint that cannot be had is no error.
      );
    }, 90);
  };
  const take = (hint: Hint, at: Hints): void => {
    const node = area.current;
    if (!node) return;
    node.setRangeText(hint.insert, at.start, at.end, 'end');
    draft.value = node.value;
    node.focus();
    look();
  };
  const submit = (): void => {
    close();
    ask({ q: draft.value });
  };
  const key = (press: JSX.TargetedKeyboardEvent<HTMLTextAreaElement>): void => {
    if (press.key === 'Enter') {
      press.preventDefault();
      const hint = hints?.list[hints.chosen];
      if (hint && hints) take(hint, hints);
      else submit();
    } else if (press.key === 'Escape') {
      if (hints) close();
      else area.current?.blur();
      press.preventDefault();
    } else if (hints && (press.key === 'ArrowDown' || press.key === 'ArrowUp')) {
      press.preventDefault();
      const step = press.key === 'ArrowDown' ? 1 : -1;
      const size = hints.list.length;
      setHints({ ...hints, chosen: hints.chosen < 0 && step < 0 ? size - 1 : (hints.chosen + step + size) % size });
    } else if (hints && press.key === 'Tab' && !press.shiftKey) {
      const hint = hints.list[Math.max(0, hints.chosen)];
      if (hint) {
        press.preventDefault();
        take(hint, hints);
      }
    } else if (press.key === 'ArrowDown') look();
  };

  const text = draft.value;
  const wrong = problem.value && problem.value.position !== null && text.trim() === asked.value ? problem.value : null;
  return (
    <div class={`searchbox ${phase.value === 'loading' ? 'busy' : ''} ${wrong ? 'wrong' : ''}`}>
      <Icon name="search" />
      <div class="query">
        <Mirror text={text} error={wrong ? errorSpan(text, charAt(text, wrong.position ?? 0)) : null} />
        <textarea ref={area} id="query" rows={1} value={text} spellcheck={false} autocomplete="off" autocapitalize="off" autocorrect="off"
          placeholder="Search: a word, field:value, status>=500, … | stats count() by field" aria-label="Query" enterkeyhint="search"
          role="combobox" aria-expanded={hints !== null} aria-controls="hints" aria-autocomplete="list" aria-invalid={wrong !== null}
          aria-describedby={wrong ? 'query-error' : undefined} aria-activedescendant={hints && hints.chosen >= 0 ? `hint-${hints.chosen}` : undefined}
          onInput={(input) => { draft.value = input.currentTarget.value.replace(/\n/g, ' '); look(); }}
          onKeyDown={key} onClick={look} onBlur={close} />
      </div>
      {text && <button type="button" class="button bare" title="Clear" aria-label="Clear the query" onClick={() => { ask({ q: '' }); area.current?.focus(); }}><Icon name="close" /></button>}
      <Help />
      {hints && (
        <div class="hints panel" id="hints" role="listbox" aria-label={hints.title}>
          <p>{hints.title}<kbd>Tab</kbd></p>
          {hints.list.map((hint, at) => (
            <div key={hint.text} id={`hint-${at}`} role="option" aria-selected={at === hints.chosen} class={at === hints.chosen ? 'chosen' : ''}
              onPointerDown={(press) => { press.preventDefault(); take(hint, hints); }}>
              <span>{hint.text}</span><small>{hint.note}</small>
            </div>
          ))}
        </div>
      )}
      {wrong && !hints && <p class="query-error" id="query-error" role="alert">{wrong.message}</p>}
    </div>
  );
}

function Mirror({ text, error }: { text: string; error: [number, number] | null }): JSX.Element {
  return (
    <div class="mirror" aria-hidden="true">
      {pieces(text).map((piece) => {
        const end = piece.start + piece.text.length;
        if (!error || end <= error[0] || piece.start >= error[1]) return <span key={piece.start} class={`q-${piece.kind}`}>{piece.text}</span>;
        const cut = Math.max(0, error[0] - piece.start);
        return <span key={piece.start} class={`q-${piece.kind}`}>{piece.text.slice(0, cut)}<u class="squiggle">{piece.text.slice(cut)}</u></span>;
      })}
      {'\u200b'}
    </div>
  );
}

function Help(): JSX.Element {
  return (
    <Popover label={<Icon name="help" />} title="Query syntax" class="help" align="end">
      {(close) => (
        <div class="syntax">
          <h2>Queries</h2>
          <dl>
            {EXAMPLES.map(([example, meaning]) => (
              <div key={example}>
                <dt><button type="button" class="textual code" onClick={() => { close(); ask({ q: example }); }}>{example}</button></dt>
                <dd>{meaning}</dd>
              </div>
            ))}
          </dl>
          <p class="keys"><kbd>/</kbd> search <kbd>↑</kbd><kbd>↓</kbd> rows <kbd>Enter</kbd> open <kbd>w</kbd> wrap <kbd>l</kbd> live <kbd>r</kbd> refresh <kbd>t</kbd> theme</p>
        </div>
      )}
    </Popover>
  );
}

// The search box: the query coloured as it is typed, an error underlined where it is, and help for what comes next.
//
// A transparent text area lies over a mirror that paints the text; both wrap alike, so the box grows with the query and
// nothing has to be scrolled in step. Enter asks. Suggestions are taken with Tab, or with Enter once one was chosen.

import { effect, untracked } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import * as api from '../api';
import { count } from '../format';
import { byteAt, charAt, errorSpan, pieces } from '../language';
import { Icon } from '../parts/icons';
import { Popover } from '../parts/bits';
import { ask, draft, fieldList, phase, problem, span } from '../search';
import { asked } from '../state';

interface Hint { text: string; note: string; insert: string }
interface Hints { start: number; end: number; list: Hint[]; chosen: number; title: string }

const TITLES = { field: 'Fields', value: 'Values', pipe: 'Pipes', figure: 'Statistics', function: 'Functions and fields' };
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
  ['* | timeseries count() by verb', 'over time, without gaps'],
  ['* | patterns', 'messages by their shape'],
  ['* | extract "GET <path> HTTP" | top 10 path', 'fields out of the message'],
  ['* | eval kb = round(bytes / 1024, 1) | where kb>100', 'computed fields'],
  ['* | dedup clientip', 'the newest row of each'],
];

async function suggestions(text: string, caret: number, abort: AbortSignal): Promise<Hints | null> {
  // Of the whole span, not only of what the unfinished query finds.
  const found = await api.complete({ ...span.value, q: text }, byteAt(text, caret), abort);
  const types = (name: string): string => fieldList.value.find((field) => field.name === name)?.types.join(', ') ?? '';
  const list = found.items.slice(0, 8).map(({ text: name, insert, count: rows, about }) => ({
    text: name, insert, note: rows !== undefined ? count(rows) : found.kind === 'field' ? types(name) : about ?? '',
  }));
  const title = found.kind === 'value' && found.field ? `Values of ${found.field}` : TITLES[found.kind];
  return { start: charAt(text, found.start), end: charAt(text, found.end), chosen: -1, title, list };
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

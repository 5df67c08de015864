// Starts the page: theme before the first paint, state from the address, keys, then the views.

import { effect } from '@preact/signals';
import { render } from 'preact';
import type { JSX } from 'preact';
import { Box } from './box/box';
import { Explained } from './explore/explain';
import { Explore } from './explore/explore';
import { panelOpen } from './explore/fields';
import { Filters } from './filters/view';
import { followLive, toggleLive } from './live';
import { Notice } from './parts/bits';
import { draft, run } from './search';
import { asked, followAddress, view, wrap, writeAddress } from './state';
import { followTheme, toggleTheme } from './theme';
import { TopBar } from './topbar';

function Page(): JSX.Element {
  return (
    <>
      <TopBar />
      {view.value === 'box' ? <Box /> : view.value === 'filters' ? <Filters /> : <Explore />}
      <Explained />
      <Notice />
    </>
  );
}

/** Up and down through the rows, from wherever the focus is. */
function moveRow(step: number): void {
  const list = [...document.querySelectorAll<HTMLElement>('.row')];
  const at = list.indexOf(document.activeElement as HTMLElement);
  const inside = at < 0 ? list.findIndex((row) => row.parentElement?.contains(document.activeElement)) : at;
  const next = inside < 0 ? list[0] : list[inside + step];
  next?.focus();
  next?.scrollIntoView({ block: 'nearest' });
}

function onKey(press: KeyboardEvent): void {
  const target = press.target as HTMLElement;
  if (press.ctrlKey || press.metaKey || press.altKey || press.defaultPrevented) return;
  if (target.closest('input, textarea, select, dialog, [role=dialog]')) return;
  const searching = view.value === 'search';
  if (press.key === '/' && searching) document.getElementById('query')?.focus();
  else if ((press.key === 'ArrowDown' || press.key === 'j') && searching) moveRow(1);
  else if ((press.key === 'ArrowUp' || press.key === 'k') && searching) moveRow(-1);
  else if (press.key === 'Escape' && panelOpen.value) panelOpen.value = false;
  else if (press.key === 't') toggleTheme();
  else if (press.key === 'r' && searching) void run();
  else if (press.key === 'l' && searching) toggleLive();
  else if (press.key === 'w' && searching) {
    wrap.value = !wrap.value;
    writeAddress(false);
  } else return;
  press.preventDefault();
}

followTheme();
followAddress(() => {
  draft.value = asked.value;
  if (view.value === 'search') void run();
});
draft.value = asked.value;

effect(() => {
  document.title = view.value === 'box' ? 'Box · Sawbox' : view.value === 'filters' ? 'Filters · Sawbox' : asked.value ? `${asked.value} · Sawbox` : 'Sawbox';
});

addEventListener('DOMContentLoaded', () => {
  const root = document.getElementById('app');
  if (!root) return;
  render(<Page />, root);
  followLive();
  document.addEventListener('keydown', onKey);
});

// The bar at the top: name, views, query, time, live, refresh, theme.

import type { JSX } from 'preact';
import { SearchBox } from './explore/searchbox';
import { TimePicker } from './explore/timepicker';
import { connection, toggleLive } from './live';
import { IconButton } from './parts/bits';
import { Logo } from './parts/icons';
import { run } from './search';
import type { View } from './state';
import { VIEWS, live, view, writeAddress } from './state';
import { isDark, toggleTheme } from './theme';

function open(next: View): void {
  if (view.value === next) return;
  view.value = next;
  writeAddress(true);
}

export function TopBar(): JSX.Element {
  const searching = view.value === 'search';
  return (
    <header class={`topbar ${searching ? '' : 'plain'}`}>
      <a class="brand" href="/" onClick={(click) => { if (!click.metaKey && !click.ctrlKey) { click.preventDefault(); open('search'); } }}><Logo /><span>Sawbox</span></a>
      <nav class="views" aria-label="Views">
        {VIEWS.map(([name, word]) => (
          <button key={name} type="button" data-view={name} aria-current={view.value === name ? 'page' : undefined} onClick={() => open(name)}>{word}</button>
        ))}
      </nav>
      {searching ? <SearchBox /> : <span class="gap" />}
      <div class="acts">
        {searching && <>
          <TimePicker />
          <button type="button" class={`button live ${live.value ? 'on' : ''}`} aria-pressed={live.value} title="Live tail (l)" aria-label="Live" onClick={toggleLive}><i class={`dot ${connection.value}`} /><span>Live</span></button>
          <IconButton class="refresh" icon="refresh" label="Refresh (r)" onClick={() => void run()} />
        </>}
        <IconButton class="theme" icon={isDark() ? 'sun' : 'moon'} label={isDark() ? 'Light theme (t)' : 'Dark theme (t)'} onClick={toggleTheme} />
      </div>
    </header>
  );
}

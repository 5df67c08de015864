// Icons as strokes on a 16-pixel grid; they take the colour of the text around them and say nothing to a screen reader.

import type { JSX } from 'preact';

const PATHS = {
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10Zm3.6-1.4L14 14',
  clock: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 5v3.2L10 10',
  refresh: 'M13.5 8a5.5 5.5 0 1 1-1.7-4M13.5 2v3h-3',
  sun: 'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1',
  moon: 'M13.5 9.8A6 6 0 0 1 6.2 2.5a6 6 0 1 0 7.3 7.3Z',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  bars: 'M2.5 3.5h11M2.5 8h7M2.5 12.5h4',
  copy: 'M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z',
  check: 'M3 8.5 6.5 12 13 4.5',
  column: 'M2.5 2.5h11v11h-11zM8 2.5v11',
  right: 'm6 3.5 4.5 4.5L6 12.5',
  down: 'M3.5 6 8 10.5 12.5 6',
  close: 'm3.5 3.5 9 9M12.5 3.5l-9 9',
  help: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM6.2 6.3C6.4 5.200 7.200 4.800 8 4.800c1 0 1.900.6 1.900 1.600C9.900 7.700 8 7.700 8 9.200M8 11.200v.1',
  wrap: 'M2.5 3.5h11M2.5 8h9a2 2 0 0 1 0 4.500H8M9.500 10.500l-2 2 2 2M2.500 12.500h2',
  panel: 'M2.5 3h11v10h-11zM6.500 3v10',
  warn: 'M8 2 14.500 13.500h-13L8 2ZM8 6.500v3M8 11.500v.1',
  zoomout: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10Zm3.600-1.400L14 14M4.800 7h4.400',
  up: 'M8 13V3.500M4 7l4-4 4 4',
  upload: 'M8 10.500V2.500M5 5l3-3 3 3M2.500 10v3.500h11V10',
  pen: 'M2.500 13.500 3 10.500l8-8 2.500 2.500-8 8-3 .5Z',
  trial: 'M6 2.5h4M7 2.5v4L3 12.500a.7.7 0 0 0 .6 1h8.800a.7.7 0 0 0 .6-1L9 6.500v-4M5 9.500h6',
  link: 'M6.500 9.500 9.500 6.500M7 4.500 8.500 3A3.200 3.200 0 0 1 13 7.500L11.500 9M9 11.500 7.500 13A3.200 3.200 0 0 1 3 8.500L4.500 7',
};
export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}

export function Logo(): JSX.Element {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect class="logo-box" width="32" height="32" rx="7" />
      <path class="logo-saw" d="M6 22.500V13l4 4.500V13l4 4.500V13l4 4.500V13l4 4.500V13l4 4.500v5z" />
      <path class="logo-rail" d="M6 9h20" fill="none" stroke-width="2.400" stroke-linecap="round" />
    </svg>
  );
}

// Light or dark: what the system says, until the reader says otherwise.

import { effect, signal } from '@preact/signals';
import { recall, remember } from './time';

export type Theme = 'auto' | 'light' | 'dark';
const KEY = 'sawbox.theme';
const saved = recall(KEY);
export const theme = signal<Theme>(saved === 'light' || saved === 'dark' ? saved : 'auto');
const system = matchMedia('(prefers-color-scheme: dark)');
const systemDark = signal(system.matches);
system.addEventListener('change', () => void (systemDark.value = system.matches));
/** Counts up whenever colours change, for what paints on a canvas. */
export const painted = signal(0);

export const isDark = (): boolean => (theme.value === 'auto' ? systemDark.value : theme.value === 'dark');

/** Called before the first paint. */
export function followTheme(): void {
  effect(() => {
    document.documentElement.dataset['theme'] = isDark() ? 'dark' : 'light';
    painted.value = painted.peek() + 1;
  });
}

/** The other one; it is remembered only while it differs from what the system says. */
export function toggleTheme(): void {
  const next = isDark() ? 'light' : 'dark';
  theme.value = (next === 'dark') === systemDark.value ? 'auto' : next;
  remember(KEY, theme.value);
}

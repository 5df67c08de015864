// Windowing for a long list of rows with differing heights: only what can be seen (and a little more) is in the page.
//
// Heights are taken from what was laid out; a row not seen yet counts as the estimate. The list may lie anywhere inside the
// element that scrolls. Nothing here knows what a row is.

import type { RefObject } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

/** Pixels above and below the view that are kept ready. */
const MARGIN = 480;
/** Pixels of scrolling after which the window is drawn anew; well inside the margin. */
const STEP = 160;

export interface Window { first: number; last: number; before: number; after: number; measure: (node: HTMLElement | null) => void }

export function useWindow(scroller: RefObject<HTMLElement>, list: RefObject<HTMLElement>, ids: string[], estimate: number, reset: string): Window {
  const heights = useRef(new Map<string, number>());
  const [, redraw] = useState(0);
  const observer = useRef<ResizeObserver | null>(null);
  const drawnAt = useRef(0);
  const lastReset = useRef(reset);
  if (lastReset.current !== reset) {
    lastReset.current = reset;
    heights.current.clear();
  }

  if (!observer.current) {
    observer.current = new ResizeObserver((entries) => {
      let changed = false;
      for (const entry of entries) {
        const node = entry.target as HTMLElement;
        if (!node.isConnected) {
          observer.current?.unobserve(node);
          continue;
        }
        const id = node.dataset['id'] ?? '';
        const height = entry.borderBoxSize[0]?.blockSize ?? node.offsetHeight;
        if (heights.current.get(id) !== height) {
          heights.current.set(id, height);
          changed = true;
        }
      }
      if (changed) redraw((count) => count + 1);
    });
  }
  useEffect(() => () => observer.current?.disconnect(), []);

  useLayoutEffect(() => {
    const node = scroller.current;
    if (!node) return;
    let pending = 0;
    const moved = (): void => {
      if (Math.abs(node.scrollTop - drawnAt.current) < STEP) return;
      if (!pending) pending = requestAnimationFrame(() => { pending = 0; redraw((count) => count + 1); });
    };
    node.addEventListener('scroll', moved, { passive: true });
    const resized = new ResizeObserver(() => redraw((count) => count + 1));
    resized.observe(node);
    return () => {
      node.removeEventListener('scroll', moved);
      resized.disconnect();
      cancelAnimationFrame(pending);
    };
  }, []);

  const view = scroller.current;
  drawnAt.current = view?.scrollTop ?? 0;
  const top = view && list.current ? list.current.getBoundingClientRect().top - view.getBoundingClientRect().top : 0;
  const from = -top - MARGIN;
  const to = -top + (view?.clientHeight ?? 900) + MARGIN;
  let at = 0;
  let first = -1;
  let last = ids.length;
  let before = 0;
  let seen = 0;
  ids.forEach((id, index) => {
    const height = heights.current.get(id) ?? estimate;
    if (first < 0 && at + height > from) {
      first = index;
      before = at;
    }
    if (first >= 0 && last === ids.length && at > to) {
      last = index;
      seen = at;
    }
    at += height;
  });
  if (first < 0) first = Math.max(0, ids.length - 1);
  return {
    first, last, before,
    after: last < ids.length ? at - seen : 0,
    measure: (node) => { if (node) observer.current?.observe(node, { box: 'border-box' }); },
  };
}

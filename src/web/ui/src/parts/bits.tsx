// Small pieces that several views use: icon buttons, popovers, dialogs, notices, a copy button, empty and failed states.

import { signal } from '@preact/signals';
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { IconName } from './icons';
import { Icon } from './icons';

interface IconButtonProps { icon: IconName; label: string; onClick: () => void; pressed?: boolean; class?: string; disabled?: boolean; text?: string }
export function IconButton({ icon, label, onClick, pressed, class: name = '', disabled, text }: IconButtonProps): JSX.Element {
  return (
    <button type="button" class={`button ${text ? '' : 'bare'} ${name}`} title={label} aria-label={text ? undefined : label} aria-pressed={pressed} disabled={disabled}
      onClick={(click) => { click.stopPropagation(); onClick(); }}>
      <Icon name={icon} />{text && <span>{text}</span>}
    </button>
  );
}

/** What the page says in passing; also read aloud. */
const notice = signal<{ text: string; bad: boolean; id: number } | null>(null);
let notices = 0;
export function say(text: string, bad = false): void {
  const id = ++notices;
  notice.value = { text, bad, id };
  setTimeout(() => { if (notice.value?.id === id) notice.value = null; }, bad ? 8_000 : 2_500);
}
export function Notice(): JSX.Element {
  const shown = notice.value;
  return <div class="notices" role="status" aria-live="polite">{shown && <div key={shown.id} class={`notice ${shown.bad ? 'bad' : ''}`}>{shown.text}</div>}</div>;
}

/** Also where the clipboard is not to be had: a page served without TLS to another machine. */
export async function copyText(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'offscreen';
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    if (!done) return say('The browser did not let the page copy.', true);
  }
  say(`${what} copied`);
}

export function CopyButton({ text, what, label }: { text: string | (() => string); what: string; label?: string }): JSX.Element {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 1_500);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = (): void => void copyText(typeof text === 'string' ? text : text(), what).then(() => setDone(true));
  return <IconButton icon={done ? 'check' : 'copy'} label={`Copy ${what.toLowerCase()}`} onClick={copy} {...(label ? { text: label } : {})} />;
}

interface PopoverProps { label: ComponentChildren; title: string; class?: string; align?: 'start' | 'end'; children: (close: () => void) => ComponentChildren }
/** A button with a panel below it; Escape and a click elsewhere close it. */
export function Popover({ label, title, class: name = '', align = 'start', children }: PopoverProps): JSX.Element {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return;
    const outside = (press: PointerEvent): void => { if (!box.current?.contains(press.target as Node)) setOpen(false); };
    const key = (press: KeyboardEvent): void => {
      if (press.key !== 'Escape') return;
      press.stopPropagation();
      setOpen(false);
      button.current?.focus();
    };
    const node = box.current;
    document.addEventListener('pointerdown', outside);
    node?.addEventListener('keydown', key);
    return () => {
      document.removeEventListener('pointerdown', outside);
      node?.removeEventListener('keydown', key);
    };
  }, [open]);
  return (
    <div class={`popover ${name}`} ref={box}>
      <button ref={button} type="button" class="button" title={title} aria-haspopup="dialog" aria-expanded={open} onClick={() => setOpen(!open)}>{label}</button>
      {open && <div class={`panel ${align}`} role="dialog" aria-label={title}>{children(() => setOpen(false))}</div>}
    </div>
  );
}

export function Dialog({ title, onClose, wide = false, children }: { title: string; onClose: () => void; wide?: boolean; children: ComponentChildren }): JSX.Element {
  const node = useRef<HTMLDialogElement>(null);
  useEffect(() => { node.current?.showModal(); }, []);
  return (
    <dialog ref={node} class={`dialog ${wide ? 'wide' : ''}`} aria-label={title} onClose={onClose} onClick={(click) => { if (click.target === node.current) node.current?.close(); }}>
      <div class="dialog-inside">
        <header><h2>{title}</h2><IconButton icon="close" label="Close" onClick={() => node.current?.close()} /></header>
        {children}
      </div>
    </dialog>
  );
}

interface ConfirmProps { title: string; action: string; busy: string; onClose: () => void; work: () => Promise<string>; children: ComponentChildren }
/** Asks before something is done; `work` answers with what to say when it is, and what it throws is shown. */
export function Confirm({ title, action, busy: doing, onClose, work, children }: ConfirmProps): JSX.Element {
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(false);
  const go = (): void => {
    setBusy(true);
    setProblem('');
    work().then((words) => { say(words); onClose(); }, (error: unknown) => { setProblem(error instanceof Error ? error.message : String(error)); setBusy(false); });
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={(submit) => { submit.preventDefault(); go(); }}>
        {children}
        {problem && <p class="bad" role="alert">{problem}</p>}
        <footer><button type="button" class="button" onClick={onClose}>Cancel</button><button type="submit" class="button primary" disabled={busy} data-confirm>{busy ? doing : action}</button></footer>
      </form>
    </Dialog>
  );
}

export function Failed({ title, text, onRetry }: { title: string; text: string; onRetry?: () => void }): JSX.Element {
  return (
    <div class="state failed" role="alert">
      <Icon name="warn" />
      <div><strong>{title}</strong><p>{text}</p>{onRetry && <button type="button" class="button" onClick={onRetry}>Try again</button>}</div>
    </div>
  );
}

export function Bones({ lines, class: name = '' }: { lines: number; class?: string }): JSX.Element {
  return <div class={`bones ${name}`} aria-busy="true" aria-label="Loading">{Array.from({ length: lines }, (_, at) => <i key={at} class={`bone w${at % 5}`} />)}</div>;
}

/** A bar whose length is a share of the greatest. */
export function Bar({ part, all }: { part: number; all: number }): JSX.Element {
  return <span class="bar" aria-hidden="true"><i style={{ width: `${all ? Math.max(1, (part / all) * 100) : 0}%` }} /></span>;
}

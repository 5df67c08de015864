// What the page knows of the topics, shared by the rows' lineage and the box's view.

import { signal } from '@preact/signals';
import * as api from './api';
import type { TopicState } from './api';

export const knownTopics = signal<TopicState[]>([]);
let learnt = 0;

/** Asks for the topics unless that was done within ten seconds; what it serves is a nicety, so a failure is silent. */
export function learnTopics(): void {
  if (Date.now() - learnt < 10_000) return;
  learnt = Date.now();
  api.topics(null).then((found) => void (knownTopics.value = found), () => undefined);
}

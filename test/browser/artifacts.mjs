// Screenshots, logs and recordings that a run leaves for people; outside git.
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';

export const artifacts = resolve(import.meta.dirname, '../artifacts/browser');
mkdirSync(artifacts, { recursive: true });

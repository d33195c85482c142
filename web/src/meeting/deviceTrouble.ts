import type { Kind } from '../lobby/devices';

// deviceTrouble says why a device did not start. The SDK names its errors
// after the browser's, and the component library keeps the name.
export function deviceTrouble(kind: Kind, err: unknown): string {
  const word = kind === 'mic' ? 'microphone' : 'camera';
  const name = err instanceof Error ? err.name : '';
  if (/PermissionDenied|NotAllowed/.test(name)) {
    return `The browser blocks the ${word}. Allow it beside the address and try again.`;
  }
  if (/NotFound|Overconstrained/.test(name)) {
    return `No ${word} found.`;
  }
  return `The ${word} does not start. Another program may be using it.`;
}

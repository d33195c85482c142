// clock shows a running time in milliseconds as hh:mm:ss. A time before the
// start, which a slow clock can give, shows as zero.
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return parts.map((n) => String(n).padStart(2, '0')).join(':');
}

// timeOfDay shows when something happened, as the viewer's wall clock does.
export function timeOfDay(date: Date): string {
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((n) => String(n).padStart(2, '0')).join(':');
}

// seconds shows a delay in seconds with one decimal.
export function seconds(s: number): string {
  return `${Math.max(0, s).toFixed(1)} s`;
}

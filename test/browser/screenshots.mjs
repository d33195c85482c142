// Makes the pictures of the README: node test/browser/screenshots.mjs
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { startBelfry } from './belfry.mjs';
import { eventually, seen } from './browser.mjs';
import { gradient, microphone } from './media.mjs';
import { REMOTE, byId, enter } from './site.mjs';

const folder = resolve(import.meta.dirname, '../../docs/images');
mkdirSync(folder, { recursive: true });
const take = (page, name) => page.screenshot({ path: join(folder, `${name}.png`) });
const bright = (rgb) => rgb !== null && Math.max(...rgb) > 60;

const people = [
  { name: 'Clara', camera: gradient('Clara', 'f2b24c', '7a3b69'), microphone: microphone('Clara', 440) },
  { name: 'Yusuf', camera: gradient('Yusuf', '6fb6d9', '3a6fa5'), microphone: microphone('Yusuf', 0) },
];
const [clara, yusuf] = people;
const server = await startBelfry('screenshots', ['--log-level', 'info']);
try {
  await enter(server, yusuf);
  await enter(server, clara);
  await eventually('they see each other', () => seen(clara.page, REMOTE), bright);
  await byId(clara.page, 'stream-start').click();
  await eventually('the stream is live', () => byId(clara.page, 'stream-state').getAttribute('data-state'), (s) => s === 'live');
  const watch = await clara.context.newPage();
  await watch.goto(new URL(await byId(clara.page, 'watch-link').getAttribute('href'), server.url).href);
  await eventually('the watch page plays both', () => seen(watch, '[data-testid=watch-video]', [0.6, 0.4, 0.2, 0.2]), bright, 30_000);
  await eventually('the latency has settled', () => byId(watch, 'watch-latency').textContent(), (s) => parseFloat(s) < 2.5, 60_000);
  await take(watch, 'watch');
  await watch.close();
  await take(clara.page, 'meeting');

  const lobby = await clara.context.newPage();
  await lobby.goto(server.url);
  await eventually('the lobby shows the camera', () => seen(lobby, '[data-testid=preview-video]'), bright);
  await take(lobby, 'lobby');
} finally {
  for (const p of people) await p.browser?.close();
  await server.stop();
}

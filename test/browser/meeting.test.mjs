// The main job as two people and a viewer do it: meet through the site, stream
// the meeting with one button, watch it in a third tab.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { artifacts } from './artifacts.mjs';
import { api, startBelfry } from './belfry.mjs';
import { eventually, heard, screenshot, seen } from './browser.mjs';
import { byId, enter, isNear, MEETING_SOUND, REMOTE, somebody } from './site.mjs';

const people = { ann: somebody('Ann', 0xd02020, 600), bob: somebody('Bob', 0x2040d0, 1100) };
const tones = [people.ann.hertz, people.bob.hertz];

let server;

before(async () => {
  server = await startBelfry('meeting');
});

after(async () => {
  for (const p of Object.values(people)) {
    await p.page?.screenshot({ path: join(artifacts, `last-${p.name}.png`) });
    await p.browser?.close();
  }
  const how = await server?.stop();
  assert.equal(how?.code, 0, 'the server ends cleanly');
  assert.ok(how.took < 5000, `the server took ${how.took} ms to stop, want less than 5 s`);
});

test('two people join through the site, see and hear each other', async () => {
  const { ann, bob } = people;
  await enter(server, ann);
  await screenshot(ann.page, 'meeting-alone');
  await enter(server, bob);
  for (const [p, other] of [[ann, bob], [bob, ann]]) {
    await eventually(`${p.name} sees ${other.name}'s colour`, () => seen(p.page, REMOTE, [0.5, 0.5, 0.4, 0.4]),
      (rgb) => isNear(rgb, other.rgb));
    await eventually(`${p.name} sees ${other.name}'s name`,
      () => p.page.locator('[data-testid=tile][data-local=false]').getAttribute('data-name'), (n) => n === other.name);
    const mine = tones.indexOf(p.hertz);
    const levels = await eventually(`${p.name} hears ${other.name}'s tone and not the own`,
      () => heard(p.page, MEETING_SOUND, tones), (l) => l[1 - mine] > -45 && l[1 - mine] - l[mine] > 25, 30_000);
    console.log(`measured: ${p.name} hears ${other.name} at ${levels[1 - mine].toFixed(0)} dB, the own tone at ${levels[mine].toFixed(0)} dB`);
  }
  await screenshot(ann.page, 'meeting-two');
});

test('mute is seen and heard', async () => {
  const { ann, bob } = people;
  await byId(bob.page, 'mic-button').click();
  await eventually('Ann no longer hears Bob', () => heard(ann.page, MEETING_SOUND, [bob.hertz], 1000), ([l]) => l < -80);
  await byId(bob.page, 'mic-button').click();
  await eventually('Ann hears Bob again', () => heard(ann.page, MEETING_SOUND, [bob.hertz], 1500), ([l]) => l > -45);
});

test('the stream is started from the page and watched in another', async () => {
  const { ann } = people;
  const started = Date.now();
  await byId(ann.page, 'stream-start').click();
  await screenshot(ann.page, 'stream-starting');
  await eventually('the stream is live', () => byId(ann.page, 'stream-state').textContent(), (s) => /live/i.test(s ?? ''));
  console.log(`measured: live ${Date.now() - started} ms after the button`);
  await screenshot(ann.page, 'stream-live');
  const link = await byId(ann.page, 'watch-link').getAttribute('href');
  assert.match(link, /\/watch\//);

  const viewer = await ann.context.newPage();
  await viewer.goto(new URL(link, server.url).href);
  const video = '[data-testid=watch-video]';
  const left = [0.15, 0.4, 0.2, 0.2];
  const right = [0.65, 0.4, 0.2, 0.2];
  const cells = await eventually('both colours in the played stream',
    async () => [await seen(viewer, video, left), await seen(viewer, video, right)],
    ([l, r]) => (isNear(l, people.ann.rgb) && isNear(r, people.bob.rgb)) || (isNear(l, people.bob.rgb) && isNear(r, people.ann.rgb)), 30_000);
  console.log(`measured: the cells of the played stream are ${JSON.stringify(cells)}`);
  await viewer.evaluate((s) => { const v = document.querySelector(s); v.muted = false; v.volume = 1; }, video);
  const levels = await eventually('both tones in the played stream', () => heard(viewer, video, tones), (l) => l.every((x) => x > -50));
  console.log(`measured: the tones of the played stream are at ${levels.map((l) => l.toFixed(0)).join(' and ')} dB`);
  const behind = await eventually('the page says how far behind live it is',
    async () => parseFloat((await byId(viewer, 'watch-latency').textContent())?.match(/[\d.]+/)?.[0] ?? 'NaN'), (s) => s > 0 && s < 8);
  console.log(`measured: the watch page is ${behind} s behind live`);
  await screenshot(viewer, 'watch-live');
  await viewer.setViewportSize({ width: 375, height: 812 });
  await screenshot(viewer, 'watch-live-phone');

  await byId(ann.page, 'stream-stop').click();
  await eventually('the stream has ended on the page', () => byId(ann.page, 'stream-start').isVisible(), (v) => v);
  await eventually('the viewer is told', () => byId(viewer, 'watch-state').textContent(), (s) => /ended|not live|offline/i.test(s ?? ''), 15_000);
  await screenshot(viewer, 'watch-ended');
  await viewer.close();
});

test('leaving and ending', async () => {
  const { ann, bob } = people;
  await ann.page.setViewportSize({ width: 375, height: 812 });
  await screenshot(ann.page, 'meeting-phone');
  await ann.page.setViewportSize({ width: 1280, height: 800 });
  await byId(ann.page, 'end-button').click();
  await byId(ann.page, 'end-confirm').click();
  await eventually('Bob is told that the meeting has ended', () => bob.page.locator('body').innerText(), (t) => /ended/i.test(t));
  await screenshot(bob.page, 'meeting-ended');
  assert.deepEqual([...ann.errors, ...bob.errors], [], 'no page threw');
  const unknown = await api(server, '/api/end', { meetingId: '00000000-0000-0000-0000-000000000000' });
  assert.equal(unknown.status, 404);
});

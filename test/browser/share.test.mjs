// A screen is shared beside the cameras, seen whole by the other, and taken
// away again; nobody is counted twice.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { artifacts } from './artifacts.mjs';
import { startBelfry } from './belfry.mjs';
import { eventually, isMoving, screenshot, seen } from './browser.mjs';
import { byId, enter, isNear, REMOTE, shown, somebody } from './site.mjs';

const SCREEN = '[data-testid=share] video';
const people = { ann: somebody('Ann', 0xd02020, 600), bob: somebody('Bob', 0x2040d0, 1100) };
const part = [0.5, 0.5, 0.4, 0.4];
const still = [0.65, 0.15, 0.2, 0.15]; // of the made-up screen, where nothing moves

let server;

before(async () => {
  server = await startBelfry('share');
});

after(async () => {
  for (const p of Object.values(people)) {
    await p.page?.screenshot({ path: join(artifacts, `last-share-${p.name}.png`) });
    await p.browser?.close();
  }
  const how = await server?.stop();
  assert.equal(how?.code, 0, 'the server ends cleanly');
});

// Without a screen the browser makes up one: green, with a clock. How green
// depends on the size, by which players guess the colour matrix.
const isScreen = (rgb) => rgb !== null && rgb[1] > 50 && rgb[0] < 40 && rgb[2] < 40;

const screenIsSeen = () => eventually('Bob sees what Ann shares', () => seen(people.bob.page, SCREEN, still), isScreen);

test('a screen is shared and seen by the other', async () => {
  const { ann, bob } = people;
  await enter(server, ann);
  await enter(server, bob);
  await eventually('Bob sees Ann', () => seen(bob.page, REMOTE, part), (rgb) => isNear(rgb, ann.rgb));

  await byId(ann.page, 'share-button').click();
  await eventually('Ann shares', () => byId(ann.page, 'share-button').getAttribute('aria-pressed'), (on) => on === 'true');
  await screenIsSeen();
  await eventually('the screen moves', () => isMoving(bob.page, SCREEN), Boolean);
  assert.equal(await byId(bob.page, 'share').getAttribute('data-local'), 'false');
  await eventually('Bob still sees Ann herself', () => seen(bob.page, REMOTE, part), (rgb) => isNear(rgb, ann.rgb));
  assert.deepEqual(await shown(bob.page), ['Bob', 'Ann'], 'the screen is nobody on the stage');
  assert.equal(await byId(bob.page, 'people-button').innerText(), '2', 'the screen is not counted');
  await screenshot(bob.page, 'share-seen');
  await screenshot(ann.page, 'share-own');
  await bob.page.setViewportSize({ width: 375, height: 812 });
  await screenshot(bob.page, 'share-phone');
  await bob.page.setViewportSize({ width: 1280, height: 800 });
});

test('it ends for everybody', async () => {
  const { ann, bob } = people;
  await byId(ann.page, 'share-button').click();
  await eventually('the screen is gone for Bob', () => byId(bob.page, 'share').count(), (n) => n === 0);
  await eventually('and for Ann', () => byId(ann.page, 'share').count(), (n) => n === 0);
  assert.deepEqual(await shown(bob.page), ['Bob', 'Ann']);
  assert.deepEqual([...ann.errors, ...bob.errors], [], 'no page threw');
});

test('it ends with the one who shares', async () => {
  const { ann, bob } = people;
  await byId(ann.page, 'share-button').click();
  await screenIsSeen();
  await byId(ann.page, 'leave-button').click();
  await eventually('Ann and her screen are gone', async () => [await byId(bob.page, 'share').count(), await shown(bob.page)],
    ([n, names]) => n === 0 && names.length === 1);
});

// Connections that break mend by themselves: everybody is back in the roster,
// seen and heard, without a hand on the page.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startBelfry } from './belfry.mjs';
import { eventually, heard, isMoving, screenshot, seen } from './browser.mjs';
import { byId, enter, isNear, MEETING_SOUND, REMOTE, shown, somebody } from './site.mjs';

const ann = somebody('Ann', 0xd02020, 600);
const bob = somebody('Bob', 0x2040d0, 1100);
const both = [[ann, bob], [bob, ann]];

let server;
let network; // Bob's

before(async () => {
  server = await startBelfry('reconnect');
  await enter(server, ann);
  await enter(server, bob, {
    // Connections made before the domain is enabled are not throttled later.
    async ready(page) {
      network = await page.context().newCDPSession(page);
      await network.send('Network.enable');
      await offline(false);
    },
  });
  await together();
});

after(async () => {
  await ann.browser?.close();
  await bob.browser?.close();
  await server?.stop();
});

function offline(yes) {
  return network.send('Network.emulateNetworkConditions', { offline: yes, latency: 0, downloadThroughput: 10e6, uploadThroughput: 10e6 });
}

const connection = (page) => page.locator('[data-connection]').getAttribute('data-connection');

// together looks for everything that a meeting of two is.
async function together() {
  for (const [p, other] of both) {
    await eventually(`${p.name} is connected`, () => connection(p.page), (c) => c === 'connected', 60_000);
    await eventually(`${p.name} has two people on the page`, () => shown(p.page), (names) => names.join() === [p.name, other.name].join());
    await eventually(`${p.name} sees ${other.name}'s colour`, () => seen(p.page, REMOTE, [0.5, 0.5, 0.4, 0.4]), (rgb) => isNear(rgb, other.rgb));
    await eventually(`${other.name}'s picture moves`, () => isMoving(p.page, REMOTE), (moves) => moves);
    await eventually(`${p.name} hears ${other.name}`, () => heard(p.page, MEETING_SOUND, [other.hertz], 1500), ([l]) => l > -45, 30_000);
  }
  assert.deepEqual([...ann.errors, ...bob.errors], [], 'no page threw');
}

// Nothing closes here: both sides have to notice the silence.
test('a browser that was offline comes back', async () => {
  await offline(true);
  const cut = Date.now();
  await eventually('Ann is told that Bob is gone', () => shown(ann.page), (names) => names.join() === 'Ann', 60_000);
  console.log(`measured: the other is told ${Date.now() - cut} ms after the network went`);
  await byId(bob.page, 'reconnecting-banner').waitFor({ timeout: 60_000 });
  console.log(`measured: the client notices ${Date.now() - cut} ms after the network went`);
  await screenshot(bob.page, 'meeting-reconnecting');

  await offline(false);
  const online = Date.now();
  await eventually('Bob is connected again', () => connection(bob.page), (c) => c === 'connected');
  console.log(`measured: connected again ${Date.now() - online} ms after the network`);
  await together();
});

for (const signal of ['SIGTERM', 'SIGKILL']) {
  test(`a server that restarts after ${signal} has everybody back`, async () => {
    await server.restart(signal);
    const ready = Date.now();
    await together();
    console.log(`measured: together again ${Date.now() - ready} ms after the server`);
  });
}

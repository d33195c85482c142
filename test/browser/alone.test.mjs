// Who is alone in a meeting hears perfect silence, which never pauses: the
// client would take a pause for a bad connection.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBelfry } from './belfry.mjs';
import { eventually, heard, loudest, noteConnections, received } from './browser.mjs';
import { byId, enter, MEETING_SOUND, shown, somebody } from './site.mjs';

// The client judges the last 15 s of sound.
const ALONE = 20_000;

// notices keeps every notice that the page shows, however short.
function notices(page) {
  return page.addInitScript(() => {
    window.notices = [];
    new MutationObserver(() => {
      for (const banner of document.querySelectorAll('[data-testid$=-banner]')) {
        if (!window.notices.includes(banner.dataset.testid)) window.notices.push(banner.dataset.testid);
      }
    }).observe(document, { childList: true, subtree: true });
  });
}

test('silence is exact and never pauses', async (t) => {
  const server = await startBelfry('alone');
  t.after(() => server.stop());
  const ann = somebody('Ann', 0xd02020, 600);
  // With a picture on the page the client would propose to stop it, instead of
  // saying that the connection is poor.
  await enter(server, ann, {
    cameraOn: false,
    async ready(page) {
      await noteConnections(page);
      await notices(page);
    },
  });
  t.after(() => ann.browser.close());
  await eventually('the sound is connected', () => received(ann.page).catch(() => undefined), (r) => r?.packetsReceived > 0);

  const before = await received(ann.page);
  const { peak, seconds } = await loudest(ann.page, MEETING_SOUND, ALONE);
  const after = await received(ann.page);
  const rate = (after.packetsReceived - before.packetsReceived) / ((after.timestamp - before.timestamp) / 1000);
  console.log(`measured: alone for ${seconds.toFixed(1)} s: ${rate.toFixed(1)} packets/s, largest sample ${peak}, ` +
    `${after.packetsLost - before.packetsLost} packets lost, ${after.concealedSamples - before.concealedSamples} samples concealed`);
  assert.ok(seconds > ALONE / 1000 - 3, `listened for ${seconds} s, want about ${ALONE / 1000}`);
  assert.equal(peak, 0, 'the largest sample of silence');
  assert.ok(rate > 40 && rate < 55, `got ${rate} packets/s, want about 50`);
  assert.deepEqual(await ann.page.evaluate(() => window.notices), [], 'what the page complained of');

  // The same ear hears somebody who speaks, and nothing once he is muted.
  const bob = somebody('Bob', 0x2040d0, 1100);
  await enter(server, bob, { cameraOn: false });
  t.after(() => bob.browser.close());
  await eventually('Ann hears Bob', () => heard(ann.page, MEETING_SOUND, [bob.hertz], 1500), ([l]) => l > -45, 30_000);
  assert.ok((await loudest(ann.page, MEETING_SOUND, 1500)).peak > 0.01, 'Bob moves the samples');
  await byId(bob.page, 'mic-button').click();
  await eventually('a muted Bob leaves exact silence', () => loudest(ann.page, MEETING_SOUND, 3000), (l) => l.peak === 0);
  assert.deepEqual(await shown(ann.page), ['Ann', 'Bob']);
  assert.deepEqual([...ann.errors, ...bob.errors], [], 'no page threw');
});

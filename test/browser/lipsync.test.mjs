// Picture and sound of a person stay together from the camera to the viewer.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { artifacts } from './artifacts.mjs';
import { api, startBelfry } from './belfry.mjs';
import { eventually, openBrowser } from './browser.mjs';
import { flashAndBeep } from './capture.mjs';
import { offsets, record } from './lipsync.mjs';

test('flash and beep are less than 100 ms apart in the HLS output', async (t) => {
  const server = await startBelfry('lipsync');
  t.after(() => server.stop());
  const { browser, context } = await openBrowser();
  t.after(() => browser.close());
  await flashAndBeep(context);
  const page = await context.newPage();
  let meetingId;
  page.on('response', async (r) => {
    if (r.url().endsWith('/api/join')) meetingId = (await r.json()).Meeting.MeetingId;
  });
  await page.goto(server.url);
  await page.locator('[data-testid=join-button]').click();
  await page.locator('[data-testid=leave-button]').waitFor();
  await eventually('the own picture is there', () => page.locator('[data-testid=tile][data-local=true] video').count(), (n) => n > 0);

  const { status, body } = await api(server, '/api/stream', { meetingId });
  assert.equal(status, 200, JSON.stringify(body));
  const file = join(artifacts, 'lipsync.mp4');
  await record(body.playbackUrl, 16, file);
  const found = await offsets(file);
  const ms = found.map((s) => Math.round(s * 1000));
  console.log(`measured: beep after flash, in ms: ${ms.join(' ')}`);
  assert.ok(found.length >= 4, `found ${found.length} flashes with a beep, want at least 4`);
  // The first seconds may run before the first sender reports.
  for (const d of ms.slice(2)) assert.ok(Math.abs(d) < 100, `got ${d} ms, want less than 100`);
});

// Prints the ages, in ms, of the pictures on the watch page, as JSON: the time
// is burned into the picture at the camera and read back where it is shown.
import { api, startBelfry } from '../test/browser/belfry.mjs';
import { eventually, openBrowser } from '../test/browser/browser.mjs';
import { burnedTime, readTimes } from '../test/browser/capture.mjs';

const server = await startBelfry('bench-glass');
const { browser, context } = await openBrowser();
try {
  await burnedTime(context);
  const page = await context.newPage();
  const answer = page.waitForResponse((r) => r.url().endsWith('/api/join'));
  await page.goto(server.url);
  await page.locator('[data-testid=join-button]').click();
  const { Meeting } = await (await answer).json();
  await page.locator('[data-testid=leave-button]').waitFor();
  const { status, body } = await api(server, '/api/stream', { meetingId: Meeting.MeetingId });
  if (status !== 200) throw new Error(`/api/stream: ${status} ${JSON.stringify(body)}`);
  const viewer = await context.newPage();
  await viewer.goto(new URL(`/watch/${body.playbackUrl.split('/').pop().replace('.m3u8', '')}`, server.url).href);
  const video = '[data-testid=watch-video]';
  await eventually('the watch page plays', () => viewer.evaluate((s) => document.querySelector(s)?.currentTime ?? 0, video), (t) => t > 8, 40_000);
  console.log(JSON.stringify(await readTimes(viewer, video, 300)));
} finally {
  await browser.close();
  await server.stop();
}

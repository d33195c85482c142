// The site as a person uses it: who they are, and the way into a meeting.
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { artifacts } from './artifacts.mjs';
import { openBrowser, screenshot } from './browser.mjs';
import { camera, microphone } from './media.mjs';

export const REMOTE = '[data-testid=tile][data-local=false] video';
export const MEETING_SOUND = 'audio';

export const byId = (page, id) => page.locator(`[data-testid="${id}"]`);

// somebody has a name, and a browser whose camera shows one colour and whose
// microphone hears one tone.
export function somebody(name, colour, hertz) {
  const rgb = [16, 8, 0].map((shift) => (colour >> shift) & 255);
  return { name, rgb, hertz, camera: camera(name, `0x${colour.toString(16).padStart(6, '0')}`), microphone: microphone(name, hertz) };
}

// enter opens the person's browser and joins; ready is called with the page
// while it is still empty.
export async function enter(server, person, { cameraOn = true, ready = async () => {} } = {}) {
  ({ browser: person.browser, context: person.context } = await openBrowser(person));
  person.page = await person.context.newPage();
  person.errors = [];
  person.page.on('pageerror', (e) => person.errors.push(String(e)));
  const said = createWriteStream(join(artifacts, `console-${person.name}.log`));
  person.page.on('console', (m) => said.write(`${new Date().toISOString()} ${m.type()} ${m.text()}\n`));
  await ready(person.page);
  await person.page.goto(server.url);
  await byId(person.page, 'name-input').fill(person.name);
  if (!cameraOn) await byId(person.page, 'camera-preview-button').click();
  await screenshot(person.page, `lobby-${person.name}`);
  await byId(person.page, 'join-button').click();
  await byId(person.page, 'leave-button').waitFor();
}

export const isNear = (rgb, want) => rgb !== null && rgb.every((c, i) => Math.abs(c - want[i]) < 50);

// shown lists the people on the stage, the own tile first.
export function shown(page) {
  return byId(page, 'tile').evaluateAll((tiles) => tiles.map((t) => t.dataset.name));
}

// Chromium, with one camera and one microphone each, and what a test can see
// and hear in a page.
import { chromium } from 'playwright-core';
import { join } from 'node:path';
import { artifacts } from './artifacts.mjs';

export async function openBrowser({ camera, microphone, flags = [], viewport = { width: 1280, height: 800 } } = {}) {
  const devices = camera
    ? ['--use-fake-device-for-media-stream', `--use-file-for-fake-video-capture=${camera}`, `--use-file-for-fake-audio-capture=${microphone}`]
    : ['--use-fake-device-for-media-stream'];
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--use-fake-ui-for-media-stream',
      '--autoplay-policy=no-user-gesture-required', ...devices, ...flags],
  });
  const context = await browser.newContext({ viewport, permissions: ['camera', 'microphone'] });
  return { browser, context };
}

export async function screenshot(page, name) {
  await page.screenshot({ path: join(artifacts, `${name}.png`) });
}

// seen returns the mean colour [r, g, b] of a part of a playing video, given
// as fractions of its width and height.
export function seen(page, selector, part = [0, 0, 1, 1]) {
  return page.evaluate(([selector, [x, y, w, h]]) => {
    const video = document.querySelector(selector);
    if (!video || !video.videoWidth) return null;
    const canvas = new OffscreenCanvas(32, 18);
    const picture = canvas.getContext('2d');
    picture.drawImage(video, x * video.videoWidth, y * video.videoHeight, w * video.videoWidth, h * video.videoHeight, 0, 0, 32, 18);
    const { data } = picture.getImageData(0, 0, 32, 18);
    const sum = [0, 0, 0];
    for (let i = 0; i < data.length; i += 4) for (let c = 0; c < 3; c++) sum[c] += data[i + c];
    return sum.map((s) => Math.round(s / (data.length / 4)));
  }, [selector, part]);
}

// heard listens to a media element for a while and returns the loudest level,
// in dB, that each frequency reached.
export function heard(page, selector, frequencies, milliseconds = 2500) {
  return page.evaluate(async ([selector, frequencies, milliseconds]) => {
    const element = document.querySelector(selector);
    const stream = element.srcObject ?? element.captureStream();
    const audio = new AudioContext({ sampleRate: 48000 });
    await audio.resume();
    const analyser = new AnalyserNode(audio, { fftSize: 8192, smoothingTimeConstant: 0, minDecibels: -140 });
    // What leads nowhere is not computed.
    audio.createMediaStreamSource(new MediaStream(stream.getAudioTracks())).connect(analyser)
      .connect(new GainNode(audio, { gain: 0 })).connect(audio.destination);
    const bins = new Float32Array(analyser.frequencyBinCount);
    const loudest = frequencies.map(() => -Infinity);
    const end = performance.now() + milliseconds;
    while (performance.now() < end) {
      await new Promise((tick) => setTimeout(tick, 50));
      analyser.getFloatFrequencyData(bins);
      frequencies.forEach((f, i) => {
        loudest[i] = Math.max(loudest[i], bins[Math.round((f / 48000) * 8192)]);
      });
    }
    await audio.close();
    return loudest;
  }, [selector, frequencies, milliseconds]);
}

// loudest listens to a media element for a while and returns the largest
// sample, of 1, and how many seconds of sound were looked at.
export function loudest(page, selector, milliseconds) {
  return page.evaluate(async ([selector, milliseconds]) => {
    const audio = new AudioContext({ sampleRate: 48000 });
    await audio.resume();
    const analyser = new AnalyserNode(audio, { fftSize: 32768 });
    // What leads nowhere is not computed.
    audio.createMediaStreamSource(document.querySelector(selector).srcObject).connect(analyser)
      .connect(new GainNode(audio, { gain: 0 })).connect(audio.destination);
    const samples = new Float32Array(analyser.fftSize);
    const begin = audio.currentTime;
    let peak = 0;
    for (const end = performance.now() + milliseconds; performance.now() < end;) {
      await new Promise((tick) => setTimeout(tick, 200));
      analyser.getFloatTimeDomainData(samples);
      for (const s of samples) peak = Math.max(peak, Math.abs(s));
    }
    const seconds = audio.currentTime - begin;
    await audio.close();
    return { peak, seconds };
  }, [selector, milliseconds]);
}

// isMoving says whether new frames of a video come.
export function isMoving(page, selector) {
  return page.evaluate(async (selector) => {
    const video = document.querySelector(selector);
    if (!video) return false;
    const frames = () => video.getVideoPlaybackQuality().totalVideoFrames;
    const before = frames();
    await new Promise((later) => setTimeout(later, 500));
    return video.isConnected && frames() > before + 2;
  }, selector);
}

// noteConnections has a page remember its peer connections; received then
// tells the sound that has come over the newest.
export function noteConnections(page) {
  return page.addInitScript(() => {
    window.connections = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(...args) {
        super(...args);
        window.connections.push(this);
      }
    };
  });
}

export function received(page) {
  return page.evaluate(async () => {
    const reports = [...(await window.connections.at(-1).getStats()).values()];
    const { packetsReceived, packetsLost, concealedSamples, timestamp } = reports.find((r) => r.type === 'inbound-rtp' && r.kind === 'audio');
    return { packetsReceived, packetsLost, concealedSamples, timestamp };
  });
}

// eventually repeats a look until it is as wanted, and tells the last one
// when it never is.
export async function eventually(what, look, wanted, limit = 20_000) {
  const end = Date.now() + limit;
  let last;
  for (;;) {
    last = await look();
    if (wanted(last)) return last;
    if (Date.now() > end) throw new Error(`${what}: not within ${limit / 1000} s; last: ${JSON.stringify(last)}`);
    await new Promise((tick) => setTimeout(tick, 100));
  }
}

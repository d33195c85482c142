// Cameras and microphones: files that Chromium plays as its devices.
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folder = mkdtempSync(join(tmpdir(), 'belfry-media-'));
const font = '/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf';

function ffmpeg(...args) {
  execFileSync('ffmpeg', ['-hide_banner', '-loglevel', 'error', '-y', ...args], { stdio: 'inherit' });
}

// A camera that shows one colour with a counter in its corner.
export function camera(name, colour) {
  const file = join(folder, `${name}.mjpeg`);
  ffmpeg('-f', 'lavfi', '-i', `color=c=${colour}:s=640x360:r=30:d=10`,
    '-vf', `drawtext=fontfile=${font}:text='%{frame_num}':fontsize=48:fontcolor=white:x=24:y=24`,
    '-pix_fmt', 'yuvj420p', '-q:v', '3', file);
  return file;
}

// A microphone that hears one tone in bursts: a steady tone is noise to the
// browser's noise suppression.
export function microphone(name, hertz) {
  const file = join(folder, `${name}.wav`);
  ffmpeg('-f', 'lavfi', '-i', `aevalsrc='0.5*sin(2*PI*${hertz}*t)*lt(mod(t\\,0.4)\\,0.25)':s=48000:d=12`, '-ac', '1', file);
  return file;
}

// A camera that shows a slowly turning gradient of two colours.
export function gradient(name, from, to) {
  const file = join(folder, `${name}-gradient.mjpeg`);
  ffmpeg('-f', 'lavfi', '-i', `gradients=s=640x360:r=15:d=10:c0=0x${from}:c1=0x${to}:n=2:speed=0.01`, '-pix_fmt', 'yuvj420p', '-q:v', '3', file);
  return file;
}

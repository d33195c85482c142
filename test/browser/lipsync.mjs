// Measures how far flashes and beeps are apart in a recording.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

async function frames(source, tag) {
  const { stdout } = await run('ffprobe', ['-v', 'error', '-f', 'lavfi', '-i', source,
    '-show_entries', `frame=pts_time:frame_tags=${tag}`, '-of', 'csv=p=0'], { maxBuffer: 64 << 20 });
  return stdout.trim().split('\n').map((line) => line.split(',').map(Number));
}

// rises returns the times at which the values go over the threshold.
function rises(values, threshold) {
  return values.filter(([, v], i) => i > 0 && v > threshold && !(values[i - 1][1] > threshold)).map(([t]) => t);
}

// offsets returns, for every flash that has a beep near, by how many seconds
// the beep comes later.
export async function offsets(file) {
  const flashes = rises(await frames(`movie=${file},signalstats`, 'lavfi.signalstats.YAVG'), 128);
  const beeps = rises(await frames(`amovie=${file},asetnsamples=240,astats=metadata=1:reset=1`,
    'lavfi.astats.Overall.RMS_level'), -35);
  return flashes.map((f) => beeps.map((b) => b - f).sort((x, y) => Math.abs(x) - Math.abs(y))[0])
    .filter((d) => Math.abs(d) < 0.9);
}

// record writes some seconds of a live playlist to a file, untouched.
export async function record(url, seconds, file) {
  await run('ffmpeg', ['-hide_banner', '-loglevel', 'error', '-y', '-i', url, '-t', String(seconds), '-c', 'copy', file],
    { timeout: (seconds + 30) * 1000 });
}

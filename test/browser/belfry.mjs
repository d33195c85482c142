// Starts the real binary on free ports with a data folder of its own.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, readFileSync, existsSync, createWriteStream } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { artifacts } from './artifacts.mjs';

const binary = resolve(import.meta.dirname, '../../bin/belfry');

export async function startBelfry(name, flags = []) {
  const data = mkdtempSync(join(tmpdir(), 'belfry-'));
  const log = join(artifacts, `${name}.log`);
  rmSync(log, { force: true });
  let { endpoint, process_, exited } = await launch(data, log, flags);
  return {
    url: endpoint,
    data,
    log,
    get pid() { return process_.pid; },
    // stop asks the server to end and says how it ended and how long it took.
    async stop() {
      const asked = Date.now();
      process_.kill('SIGTERM');
      const how = await exited;
      rmSync(data, { recursive: true, force: true });
      return { ...how, took: Date.now() - asked };
    },
    // restart ends the server with the signal and starts it anew at its old
    // address.
    async restart(signal) {
      process_.kill(signal);
      await exited;
      ({ process_, exited } = await launch(data, log, [...flags, '--http', new URL(endpoint).host]));
    },
  };
}

async function launch(data, log, flags) {
  const args = ['serve', '--data', data, '--log-level', 'debug'];
  for (const port of ['http', 'rtmp', 'rtmps', 'media']) {
    args.push(`--${port}`, '127.0.0.1:0');
  }
  const process_ = spawn(binary, [...args, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  process_.stderr.pipe(createWriteStream(log, { flags: 'a' }));
  const exited = new Promise((done) => process_.once('exit', (code, signal) => done({ code, signal })));
  const limit = Date.now() + 20_000;
  for (;;) {
    const running = whatRuns(data);
    if (running?.process === process_.pid) return { endpoint: running.endpoint, process_, exited };
    if (process_.exitCode !== null || Date.now() > limit) {
      throw new Error(`belfry serve is not ready; its log is ${log}`);
    }
    await new Promise((tick) => setTimeout(tick, 20));
  }
}

// A server that was killed has left its running.json behind.
function whatRuns(data) {
  const file = join(data, 'running.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}

export async function api(server, path, body) {
  const answer = await fetch(server.url + path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json().catch(() => undefined) };
}

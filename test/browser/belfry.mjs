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
  const args = ['serve', '--data', data, '--log-level', 'debug'];
  for (const port of ['http', 'rtmp', 'rtmps', 'media']) {
    args.push(`--${port}`, '127.0.0.1:0');
  }
  const process_ = spawn(binary, [...args, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  process_.stderr.pipe(createWriteStream(log));
  const exited = new Promise((done) => process_.once('exit', (code, signal) => done({ code, signal })));
  const running = join(data, 'running.json');
  const limit = Date.now() + 20_000;
  while (!existsSync(running)) {
    if (process_.exitCode !== null || Date.now() > limit) {
      throw new Error(`belfry serve is not ready; its log is ${log}`);
    }
    await new Promise((tick) => setTimeout(tick, 20));
  }
  const { endpoint } = JSON.parse(readFileSync(running, 'utf8'));
  return {
    url: endpoint,
    data,
    log,
    pid: process_.pid,
    // stop asks the server to end and says how it ended and how long it took.
    async stop() {
      const asked = Date.now();
      process_.kill('SIGTERM');
      const how = await exited;
      rmSync(data, { recursive: true, force: true });
      return { ...how, took: Date.now() - asked };
    },
  };
}

export async function api(server, path, body) {
  const answer = await fetch(server.url + path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json().catch(() => undefined) };
}

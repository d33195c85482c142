import { describe, expect, test } from 'vitest';
import type { StreamReport } from '../api';
import { type StreamEvent, type StreamState, initialStream, isUncertain, streamReducer } from './state';

const started = { mediaPipelineId: 'p', playbackUrl: 'https://h/api/video/v1/n.m3u8' };
const live: StreamReport = { state: 'live', ...started, startedAt: '2026-01-02T03:04:05Z' };

function run(...events: (StreamEvent | ((s: StreamState) => StreamEvent))[]): StreamState {
  return events.reduce<StreamState>((s, e) => streamReducer(s, typeof e === 'function' ? e(s) : e), initialStream);
}

const now =
  (report: StreamReport, at = 0) =>
  (s: StreamState): StreamEvent => ({ type: 'reported', epoch: s.epoch, report, at });

describe('the one who presses', () => {
  test('start, answer, live, stop', () => {
    let s = run({ type: 'startPressed', at: 1000 });
    expect(s).toMatchObject({ phase: 'starting', since: 1000 });
    s = run({ type: 'startPressed', at: 1000 }, { type: 'startAnswered', stream: started });
    expect(s).toMatchObject({ phase: 'starting', pipelineId: 'p' });
    s = run({ type: 'startPressed', at: 1000 }, { type: 'startAnswered', stream: started }, now(live));
    expect(s).toMatchObject({ phase: 'live', startedAt: live.startedAt, pipelineId: 'p', missed: 0 });
    s = streamReducer(streamReducer(s, { type: 'stopPressed' }), { type: 'stopAnswered' });
    expect(s).toMatchObject({ phase: 'offline' });
    expect(s.pipelineId).toBeUndefined();
  });

  test('an answer alone is not live', () => {
    expect(run({ type: 'startPressed', at: 0 }, { type: 'startAnswered', stream: started }).phase).toBe('starting');
  });

  test('a report of offline does not take back a start under way', () => {
    expect(run({ type: 'startPressed', at: 0 }, now({ state: 'offline' })).phase).toBe('starting');
  });

  test('a report of starting gives the id with which the start can be stopped', () => {
    const s = run({ type: 'startPressed', at: 0 }, now({ state: 'starting', mediaPipelineId: 'p' }));
    expect(s).toMatchObject({ phase: 'starting', pipelineId: 'p', pending: 'start' });
  });

  test('a refused start says why, and keeps saying it while the server says offline', () => {
    const s = run({ type: 'startPressed', at: 0 }, { type: 'startRefused', cause: 'no free node' }, now({ state: 'offline' }));
    expect(s).toMatchObject({ phase: 'failed', cause: 'no free node' });
    expect(streamReducer(s, { type: 'dismissed' }).phase).toBe('offline');
  });

  test('a report asked for before the press is old news', () => {
    const s = run({ type: 'startPressed', at: 0 }, { type: 'startAnswered', stream: started }, now(live));
    const stopped = streamReducer(streamReducer(s, { type: 'stopPressed' }), { type: 'stopAnswered' });
    const late: StreamEvent = { type: 'reported', epoch: s.epoch, report: live, at: 0 };
    expect(streamReducer(stopped, late).phase).toBe('offline');
  });

  test('live is not shown again while a stop is under way', () => {
    const s = run(now(live), { type: 'stopPressed' }, now(live));
    expect(s.phase).toBe('stopping');
  });

  test('a refused stop leaves the stream as it was, for another try', () => {
    const s = run(now(live), { type: 'stopPressed' }, { type: 'stopRefused' });
    expect(s).toMatchObject({ phase: 'live', pipelineId: 'p', startedAt: live.startedAt });
    expect(streamReducer(s, now({ state: 'offline' })(s)).phase).toBe('offline');
  });
});

describe('the others', () => {
  test('see a start made elsewhere, from when they saw it', () => {
    const starting: StreamReport = { state: 'starting', mediaPipelineId: 'p' };
    expect(run(now(starting, 5000), now(starting, 7000))).toMatchObject({ phase: 'starting', since: 5000 });
  });

  test('see that a live stream is interrupted, and why, and that it is back', () => {
    const s = run(now(live), now({ state: 'starting', ...started, cause: 'no picture' }, 9000));
    expect(s).toMatchObject({ phase: 'starting', cause: 'no picture', since: 9000 });
    expect(s.startedAt).toBeUndefined();
    const back = streamReducer(s, now(live)(s));
    expect(back.phase).toBe('live');
    expect(back.cause).toBeUndefined();
  });

  test('see live, failed with its cause, and the end', () => {
    expect(run(now(live)).phase).toBe('live');
    expect(run(now(live), now({ state: 'failed', cause: 'sink refused' }))).toMatchObject({
      phase: 'failed',
      cause: 'sink refused',
    });
    expect(run(now(live), now({ state: 'offline' })).phase).toBe('offline');
  });

  test('do not see a failure again that they put away, but see the next one', () => {
    const failed: StreamReport = { state: 'failed', mediaPipelineId: 'p', cause: 'sink refused' };
    const s = run(now(failed), { type: 'dismissed' }, now(failed), now(failed));
    expect(s.phase).toBe('offline');
    expect(streamReducer(s, now({ ...failed, mediaPipelineId: 'q' })(s)).phase).toBe('failed');
  });

  test('a failure without a cause is still told', () => {
    expect(run(now({ state: 'failed' })).cause).toBe('The stream failed.');
  });
});

describe('without reports', () => {
  test('live becomes uncertain, and certain again', () => {
    const once = run(now(live), { type: 'reportMissed' });
    expect(isUncertain(once)).toBe(false);
    const twice = streamReducer(once, { type: 'reportMissed' });
    expect(isUncertain(twice)).toBe(true);
    expect(isUncertain(streamReducer(twice, now(live)(twice)))).toBe(false);
  });

  test('offline needs no doubt', () => {
    expect(isUncertain(run({ type: 'reportMissed' }, { type: 'reportMissed' }))).toBe(false);
  });
});

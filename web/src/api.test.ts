import { beforeEach, describe, expect, test, vi } from 'vitest';
import { ApiError, UnreachableError, endMeeting, join, messageOf, startStream, stopStream, streamReport } from './api';

const fetched = vi.fn<typeof fetch>();

function answer(status: number, body: string) {
  fetched.mockResolvedValueOnce(new Response(body || null, { status }));
}

function sent() {
  const [path, init] = fetched.mock.lastCall!;
  return { path, method: init!.method, body: init!.body ? JSON.parse(init!.body as string) : undefined };
}

beforeEach(() => {
  fetched.mockReset();
  vi.stubGlobal('fetch', fetched);
});

describe('what is asked', () => {
  test('join without a name has no body', async () => {
    answer(200, '{"Meeting":{},"Attendee":{}}');
    await join('');
    expect(sent()).toEqual({ path: '/api/join', method: 'POST', body: undefined });
  });

  test('join with a name', async () => {
    answer(200, '{"Meeting":{"MeetingId":"m"},"Attendee":{"AttendeeId":"a"}}');
    const seat = await join('Ada');
    expect(sent().body).toEqual({ name: 'Ada' });
    expect(seat.Meeting.MeetingId).toBe('m');
  });

  test('end', async () => {
    answer(200, '{}');
    await endMeeting('m');
    expect(sent()).toEqual({ path: '/api/end', method: 'POST', body: { meetingId: 'm' } });
  });

  test('start a stream, with and without a target of its own', async () => {
    answer(200, '{"mediaPipelineId":"p","playbackUrl":"u"}');
    await startStream('m');
    expect(sent().body).toEqual({ meetingId: 'm' });
    answer(200, '{"mediaPipelineId":"p","playbackUrl":""}');
    await startStream('m', 'rtmp://host/app/key');
    expect(sent().body).toEqual({ meetingId: 'm', streamTarget: 'rtmp://host/app/key' });
  });

  test('stop a stream', async () => {
    answer(200, '');
    await stopStream('p');
    expect(sent().body).toEqual({ streamAction: 'delete', mediaPipelineId: 'p' });
  });

  test('a meeting id is escaped in the query', async () => {
    answer(200, '{"state":"offline"}');
    await streamReport('a b&c');
    expect(sent()).toEqual({ path: '/api/stream?meetingId=a%20b%26c', method: 'GET', body: undefined });
  });
});

describe('what is answered', () => {
  test('the server’s own words are kept', async () => {
    answer(404, '{"error":"no meeting m"}');
    const err = await endMeeting('m').catch((e: unknown) => e);
    expect(err).toBeInstanceOf(ApiError);
    expect((err as ApiError).status).toBe(404);
    expect(messageOf(err)).toBe('no meeting m');
  });

  test('a refusal without words names its status', async () => {
    answer(502, '<html>bad gateway</html>');
    await expect(join('')).rejects.toThrow('status 502');
  });

  test('a page instead of JSON is not taken for an answer', async () => {
    answer(200, '<!doctype html>');
    await expect(join('')).rejects.toThrow('does not understand');
  });

  test('no answer at all', async () => {
    fetched.mockRejectedValueOnce(new TypeError('Failed to fetch'));
    const err = await join('').catch((e: unknown) => e);
    expect(err).toBeInstanceOf(UnreachableError);
    expect(messageOf(err)).toContain('cannot be reached');
  });

  test('things thrown that are no errors', () => {
    expect(messageOf('x')).toBe('Something went wrong. Try again.');
  });
});

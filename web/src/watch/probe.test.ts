import { beforeEach, expect, test, vi } from 'vitest';
import { probe } from './probe';

const fetched = vi.fn<typeof fetch>();
const playlist = '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nn/source.m3u8\n';
const ask = () => probe('/api/video/v1/n.m3u8', new AbortController().signal);

beforeEach(() => {
  fetched.mockReset();
  vi.stubGlobal('fetch', fetched);
});

test.each([
  ['a playlist', 200, playlist, 'live'],
  ['no playlist', 404, 'the channel is offline', 'offline'],
  ['a playlist that is gone', 410, '', 'offline'],
  ['a broken server', 502, '', 'unreachable'],
  ['a page in place of a playlist', 200, '<!doctype html>', 'unreachable'],
])('%s, status %d', async (_, status, body, airing) => {
  fetched.mockResolvedValueOnce(new Response(body, { status }));
  expect(await ask()).toBe(airing);
});

test('no answer', async () => {
  fetched.mockRejectedValueOnce(new TypeError('Failed to fetch'));
  expect(await ask()).toBe('unreachable');
});

test('one request, and never from a cache', async () => {
  fetched.mockResolvedValueOnce(new Response(playlist));
  await ask();
  expect(fetched).toHaveBeenCalledTimes(1);
  expect(fetched.mock.lastCall![1]!.cache).toBe('no-store');
});

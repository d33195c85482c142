import { beforeEach, expect, test, vi } from 'vitest';
import { probe } from './probe';

const fetched = vi.fn<typeof fetch>();
const url = '/api/video/v1/n.m3u8';
const multivariant = '#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-STREAM-INF:BANDWIDTH=1\n\nn/source.m3u8?s=1\n';
const media = '#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n1.m4s\n';

const answer = (body: string, status = 200) => fetched.mockResolvedValueOnce(new Response(body, { status }));

beforeEach(() => {
  fetched.mockReset();
  vi.stubGlobal('fetch', fetched);
  vi.stubGlobal('location', new URL('http://belfry.test/watch/n'));
});

test.each([404, 410])('no playlist, status %d: offline', async (status) => {
  answer('', status);
  expect(await probe(url)).toBe('offline');
});

test('a growing media playlist behind a multivariant one: live', async () => {
  answer(multivariant);
  answer(media);
  expect(await probe(url)).toBe('live');
  expect(fetched.mock.lastCall![0]).toBe('http://belfry.test/api/video/v1/n/source.m3u8?s=1');
});

test('a media playlist with an end: ended', async () => {
  answer(multivariant.replaceAll('\n', '\r\n'));
  answer(`${media}#EXT-X-ENDLIST\n`);
  expect(await probe(url)).toBe('ended');
});

test('a media playlist at once', async () => {
  answer(media);
  expect(await probe(url)).toBe('live');
});

test('the media playlist went away between the two: offline', async () => {
  answer(multivariant);
  answer('', 404);
  expect(await probe(url)).toBe('offline');
});

test('a broken server: unreachable', async () => {
  answer('', 500);
  expect(await probe(url)).toBe('unreachable');
});

test('a page in place of a playlist: unreachable', async () => {
  answer('<!doctype html>');
  expect(await probe(url)).toBe('unreachable');
});

test('no answer: unreachable', async () => {
  fetched.mockRejectedValueOnce(new TypeError('Failed to fetch'));
  expect(await probe(url)).toBe('unreachable');
});

import { expect, test } from 'vitest';
import { meetingPath, playlistPath, routeOf, streamName, watchPath } from './routes';

const name = 'us-east-1.000000000000.channel.Ab1Cd2Ef3Gh4';

test.each([
  ['/', { page: 'lobby' }],
  ['/nowhere', { page: 'lobby' }],
  ['/meeting', { page: 'lobby' }],
  ['/meeting/', { page: 'lobby' }],
  ['/meeting/5c7a', { page: 'meeting', meetingId: '5c7a' }],
  [`/watch/${name}`, { page: 'watch', name }],
  [`/watch/${name}/`, { page: 'watch', name }],
  ['/watch/a%20b', { page: 'watch', name: 'a b' }],
  ['/watch/%zz', { page: 'watch', name: '%zz' }],
])('%s', (path, route) => {
  expect(routeOf(path)).toEqual(route);
});

test('paths lead back to where they came from', () => {
  expect(routeOf(meetingPath('a/b'))).toEqual({ page: 'meeting', meetingId: 'a/b' });
  expect(routeOf(watchPath('ä b'))).toEqual({ page: 'watch', name: 'ä b' });
  expect(playlistPath(name)).toBe(`/api/video/v1/${name}.m3u8`);
});

test.each([
  [`https://x.example/api/video/v1/${name}.m3u8`, name],
  [`https://x.example/api/video/v1/${name}.m3u8?token=1.m3u8`, name],
  ['http://localhost:8080/a%20b.m3u8', 'a b'],
  ['https://x.example/live', undefined],
  ['https://x.example/.m3u8', undefined],
  ['', undefined],
  [undefined, undefined],
])('the stream behind %s', (url, want) => {
  expect(streamName(url)).toBe(want);
});

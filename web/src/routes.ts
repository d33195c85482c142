// The site has three places: the lobby, a meeting, and the page of a stream.

export type Route =
  | { page: 'lobby' }
  | { page: 'meeting'; meetingId: string }
  | { page: 'watch'; name: string };

export function routeOf(path: string): Route {
  const [page, rest = ''] = path.split('/').filter(Boolean);
  if (page === 'meeting' && rest) {
    return { page, meetingId: decode(rest) };
  }
  if (page === 'watch' && rest) {
    return { page, name: decode(rest) };
  }
  return { page: 'lobby' };
}

export function meetingPath(meetingId: string): string {
  return `/meeting/${encodeURIComponent(meetingId)}`;
}

export function watchPath(name: string): string {
  return `/watch/${encodeURIComponent(name)}`;
}

export function playlistPath(name: string): string {
  return `/api/video/v1/${encodeURIComponent(name)}.m3u8`;
}

// streamName takes the stream's name from its playback URL: the last element
// of the path without .m3u8. A stream that goes elsewhere has none.
export function streamName(playbackUrl: string | undefined): string | undefined {
  if (!playbackUrl) {
    return undefined;
  }
  const path = playbackUrl.split(/[?#]/)[0]!;
  const last = path.slice(path.lastIndexOf('/') + 1);
  return last.endsWith('.m3u8') && last.length > '.m3u8'.length ? decode(last.slice(0, -'.m3u8'.length)) : undefined;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

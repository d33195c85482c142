// What the server says of a stream before anything is played.
export type Airing = 'live' | 'ended' | 'offline' | 'unreachable';

const replyMs = 10_000;

// probe asks for the stream's playlist, and for the first media playlist it
// names, whose end tag tells a stream that is over from one that is on.
export async function probe(url: string, signal?: AbortSignal): Promise<Airing> {
  const first = await read(url, signal);
  if (typeof first !== 'string') {
    return first.airing;
  }
  const media = mediaPlaylist(first);
  if (media === undefined) {
    return airingOf(first);
  }
  const second = await read(new URL(media, new URL(url, location.href)).href, signal);
  return typeof second === 'string' ? airingOf(second) : second.airing;
}

async function read(url: string, signal: AbortSignal | undefined): Promise<string | { airing: Airing }> {
  const timeout = AbortSignal.timeout(replyMs);
  try {
    const response = await fetch(url, { cache: 'no-store', signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
    if (response.status === 404 || response.status === 410) {
      return { airing: 'offline' };
    }
    return response.ok ? await response.text() : { airing: 'unreachable' };
  } catch {
    return { airing: 'unreachable' };
  }
}

// mediaPlaylist gives the address of a multivariant playlist's first stream;
// undefined for a playlist that is a media playlist itself.
function mediaPlaylist(playlist: string): string | undefined {
  const lines = playlist.split(/\r?\n/);
  const tag = lines.findIndex((line) => line.startsWith('#EXT-X-STREAM-INF'));
  return tag < 0 ? undefined : lines.slice(tag + 1).find((line) => line && !line.startsWith('#'));
}

function airingOf(playlist: string): Airing {
  if (!playlist.startsWith('#EXTM3U')) {
    return 'unreachable';
  }
  return playlist.includes('#EXT-X-ENDLIST') ? 'ended' : 'live';
}

// What the server says of a stream before anything is played.
export type Airing = 'live' | 'offline' | 'unreachable';

const replyMs = 10_000;

// probe asks for the stream's playlist, which is there while the stream is on.
// It asks for no more: who loads what the playlist names counts as a viewer.
export async function probe(url: string, signal: AbortSignal): Promise<Airing> {
  try {
    const response = await fetch(url, {
      cache: 'no-store',
      signal: AbortSignal.any([signal, AbortSignal.timeout(replyMs)]),
    });
    const text = await response.text();
    if (response.status === 404 || response.status === 410) {
      return 'offline';
    }
    return response.ok && text.startsWith('#EXTM3U') ? 'live' : 'unreachable';
  } catch {
    return 'unreachable';
  }
}

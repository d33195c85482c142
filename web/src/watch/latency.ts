// How far the picture is behind what happens, in seconds. The playlist's wall
// clock (EXT-X-PROGRAM-DATE-TIME) counts from when the server made the picture;
// the player's own figure counts from the newest part it knows.

interface Clocks {
  now: number;
  // The wall clock time of the frame on screen, in milliseconds, when known.
  playing: number | undefined;
  // Behind the newest part, in seconds.
  edge: number;
}

// The two differ by the way from the server, not more: else one clock is wrong.
const clockErrorLimit = 8;

export function behindLive({ now, playing, edge }: Clocks): number {
  if (playing === undefined || Number.isNaN(playing)) {
    return edge;
  }
  const wall = (now - playing) / 1000;
  return wall > 0 && Math.abs(wall - edge) <= clockErrorLimit ? wall : edge;
}

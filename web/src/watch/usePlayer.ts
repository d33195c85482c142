import { type RefObject, useEffect, useState, useSyncExternalStore } from 'react';
import { playlistPath } from '../routes';
import { Player, type PlayerState } from './player';

export function usePlayer(name: string, video: RefObject<HTMLVideoElement | null>): [PlayerState, Player] {
  const [player] = useState(() => new Player(playlistPath(name)));
  useEffect(() => {
    if (video.current) {
      player.start(video.current);
    }
    return () => player.stop();
  }, [player, video]);
  return [useSyncExternalStore(player.subscribe, player.snapshot), player];
}

import type { RefObject } from 'react';
import { FullscreenIcon, PauseIcon, PlayIcon, SpeakerIcon, SpeakerOffIcon } from '../ui/icons';
import type { Player, PlayerState } from './player';
import styles from './PlayerControls.module.css';

interface Props {
  state: PlayerState;
  player: Player;
  frame: RefObject<HTMLDivElement | null>;
}

export function PlayerControls({ state: { phase, muted, volume }, player, frame }: Props) {
  const paused = phase === 'paused';
  const silent = muted || volume === 0;
  return (
    <div className={`${styles.bar} ${paused ? styles.shown : ''}`}>
      <button type="button" aria-label={paused ? 'Play' : 'Pause'} onClick={() => player.togglePause()} data-testid="watch-pause">
        {paused ? <PlayIcon /> : <PauseIcon />}
      </button>
      <button type="button" aria-label={silent ? 'Unmute' : 'Mute'} onClick={() => player.toggleMute()} data-testid="watch-mute">
        {silent ? <SpeakerOffIcon /> : <SpeakerIcon />}
      </button>
      <input
        type="range"
        min={0}
        max={1}
        step={0.05}
        value={silent ? 0 : volume}
        aria-label="Volume"
        onChange={(event) => player.setVolume(Number(event.target.value))}
      />
      <span className={styles.gap} />
      <button type="button" aria-label="Full screen" onClick={() => void toggleFullscreen(frame.current)}>
        <FullscreenIcon />
      </button>
    </div>
  );
}

async function toggleFullscreen(frame: HTMLElement | null): Promise<void> {
  if (document.fullscreenElement) {
    await document.exitFullscreen();
    return;
  }
  if (frame?.requestFullscreen) {
    await frame.requestFullscreen();
    return;
  }
  // An iPhone gives the whole screen to a video alone.
  frame?.querySelector<HTMLVideoElement & { webkitEnterFullscreen?: () => void }>('video')?.webkitEnterFullscreen?.();
}

import { useEffect, useRef } from 'react';
import { seconds } from '../time';
import { Bell, Wordmark } from '../ui/Bell';
import { Button, Spinner } from '../ui/Button';
import { CopyButton } from '../ui/CopyButton';
import { LiveBadge } from '../ui/LiveBadge';
import { SpeakerOffIcon, WarningIcon } from '../ui/icons';
import { PlayerControls } from './PlayerControls';
import type { Phase } from './player';
import { usePlayer } from './usePlayer';
import styles from './Watch.module.css';

// Watch is the page of one stream, for anybody who has its address.
export function Watch({ name }: { name: string }) {
  const frame = useRef<HTMLDivElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const [state, player] = usePlayer(name, video);
  const { phase, behind, muted } = state;
  const playing = phase === 'playing';

  useEffect(() => {
    document.title = playing ? 'Live on Belfry' : 'Belfry';
  }, [playing]);

  return (
    <div className={styles.page}>
      <header className={styles.header}>
        <a href="/" className={styles.home} aria-label="Belfry, to the lobby">
          <Wordmark />
        </a>
        <CopyButton look="quiet" text={location.href} label="Copy link" />
      </header>
      <main className={styles.main}>
        <div className={styles.frame} ref={frame} data-phase={phase}>
          {/* Captions cannot be had: the stream is made as it is watched. */}
          <video ref={video} autoPlay muted playsInline data-testid="watch-video" aria-label="The live stream" />
          {!playing && phase !== 'paused' && <Curtain phase={phase} />}
          {playing && muted && (
            <Button look="primary" size="large" className={styles.unmute} onClick={() => player.toggleMute()} data-testid="watch-unmute">
              <SpeakerOffIcon /> Turn on the sound
            </Button>
          )}
          {(playing || phase === 'paused') && <PlayerControls state={state} player={player} frame={frame} />}
        </div>
        <div className={styles.facts}>
          <p className={styles.state} role="status" data-testid="watch-state" data-state={phase}>
            {playing ? <LiveBadge /> : said[phase].title}
          </p>
          <p className={styles.latency} data-testid="watch-latency">
            {playing && behind !== undefined && `${seconds(behind)} behind live`}
          </p>
          <a href="/" className={styles.own}>
            Hold a meeting of your own
          </a>
        </div>
      </main>
    </div>
  );
}

function Curtain({ phase }: { phase: Phase }) {
  const { title, words } = said[phase];
  const trouble = phase === 'unreachable' || phase === 'unsupported';
  return (
    <div className={`${styles.curtain} ${phase === 'waiting' ? styles.thin : ''}`}>
      {phase === 'connecting' || phase === 'waiting' ? (
        <span className={styles.spinner}>
          <Spinner />
        </span>
      ) : (
        <span className={styles.mark}>{trouble ? <WarningIcon /> : <Bell size={64} />}</span>
      )}
      <h1>{title}</h1>
      {words && <p>{words}</p>}
    </div>
  );
}

const said: Record<Phase, { title: string; words?: string }> = {
  connecting: { title: 'Connecting…' },
  offline: { title: 'Not live yet', words: 'Keep this page open: it starts by itself when the stream does.' },
  playing: { title: 'Live' },
  paused: { title: 'Paused' },
  waiting: { title: 'Waiting for the stream…' },
  ended: { title: 'The stream has ended', words: 'Thank you for watching. If it starts again, it plays here.' },
  unreachable: { title: 'The server cannot be reached', words: 'Check your connection. This page keeps trying.' },
  unsupported: { title: 'This browser cannot play the stream', words: 'Try a current Chrome, Edge, Firefox or Safari.' },
};

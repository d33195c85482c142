import { useCallback, useEffect, useState } from 'react';
import type { Seat } from '../api';
import type { Choices } from '../lobby/devices';
import { routeOf } from '../routes';
import { StreamControl } from '../stream/StreamControl';
import { useStream } from '../stream/useStream';
import { Banner } from '../ui/Banner';
import { Wordmark } from '../ui/Bell';
import { Spinner } from '../ui/Button';
import { CopyButton } from '../ui/CopyButton';
import { PeopleIcon } from '../ui/icons';
import { Controls } from './Controls';
import { EndDialog } from './EndDialog';
import type { Ending } from './ending';
import { People } from './People';
import styles from './Room.module.css';
import { Stage } from './Stage';
import { useParticipants } from './useParticipants';
import { useSession } from './useSession';

const troubleMs = 12_000;

interface Props {
  seat: Seat;
  choices: Choices;
  onOver: (ending: Ending) => void;
}

export function Room({ seat, choices, onOver }: Props) {
  const [trouble, setTrouble] = useState<string>();
  const [people, setPeople] = useState(false);
  const [ending, setEnding] = useState(false);
  const { connection, weak, cameraOpening, leave } = useSession(seat, choices, onOver, setTrouble);
  const participants = useParticipants(seat);
  const meetingId = seat.Meeting.MeetingId;
  const stream = useStream(meetingId, setTrouble);

  useEffect(() => {
    if (!trouble) {
      return undefined;
    }
    const timer = setTimeout(() => setTrouble(undefined), troubleMs);
    return () => clearTimeout(timer);
  }, [trouble]);

  useEffect(() => {
    // Going back in the browser's history is leaving.
    const onPopState = () => {
      if (routeOf(location.pathname).page !== 'meeting') {
        leave('left');
      }
    };
    window.addEventListener('popstate', onPopState);
    return () => window.removeEventListener('popstate', onPopState);
  }, [leave]);

  const closeEnding = useCallback(() => setEnding(false), []);
  const alone = connection === 'connected' && participants.length === 1;

  return (
    <div className={styles.room} data-connection={connection}>
      <header className={styles.header}>
        <Wordmark />
        <div className={styles.stream}>
          <StreamControl stream={stream} />
        </div>
        <button
          type="button"
          className={styles.people}
          aria-expanded={people}
          aria-controls="people"
          aria-label={`People in the meeting: ${participants.length}`}
          onClick={() => setPeople(!people)}
          data-testid="people-button"
        >
          <PeopleIcon />
          <span>{participants.length}</span>
        </button>
      </header>

      <main className={styles.main}>
        <Stage participants={participants} />
        <div className={styles.banners}>
          {connection === 'reconnecting' && (
            <Banner tone="notice" testId="reconnecting-banner">
              The connection was lost. Reconnecting…
            </Banner>
          )}
          {connection === 'connected' && weak && (
            <Banner tone="notice" testId="weak-banner">
              Your connection is weak. Sound and pictures may stumble.
            </Banner>
          )}
          {trouble && (
            <Banner tone="error" testId="error-banner" onDismiss={() => setTrouble(undefined)}>
              {trouble}
            </Banner>
          )}
        </div>
        {connection === 'connecting' && (
          <p className={styles.connecting} role="status" data-testid="connecting">
            <Spinner /> Connecting…
          </p>
        )}
        {alone && (
          <div className={styles.alone} role="status">
            <p>
              <b>You are the first one here.</b> Whoever joins next meets you.
            </p>
            <CopyButton text={location.origin} label="Copy invitation" />
          </div>
        )}
        {people && <People participants={participants} onClose={() => setPeople(false)} />}
      </main>

      <Controls
        cameraOpening={cameraOpening}
        onTrouble={setTrouble}
        onLeave={() => leave('left')}
        onEnd={() => setEnding(true)}
      />
      {ending && (
        <EndDialog
          meetingId={meetingId}
          streaming={stream.state.phase === 'live' || stream.state.phase === 'starting'}
          onEnded={() => leave('endedByMe')}
          onClose={closeEnding}
        />
      )}
    </div>
  );
}

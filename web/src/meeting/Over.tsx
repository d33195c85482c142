import { Wordmark } from '../ui/Bell';
import { Button } from '../ui/Button';
import type { Ending } from './ending';
import styles from './Over.module.css';

interface Props {
  ending: Ending;
  onRejoin: () => void;
  onLobby: () => void;
}

// Over says how the meeting went out for this person, and what can be done now.
export function Over({ ending, onRejoin, onLobby }: Props) {
  const { title, words, rejoin } = told[ending];
  return (
    <main className={styles.over} data-testid="meeting-over" data-ending={ending}>
      <Wordmark />
      <div className={styles.words} role="status">
        <h1>{title}</h1>
        <p>{words}</p>
      </div>
      <div className={styles.buttons}>
        {rejoin && (
          <Button size="large" look="primary" onClick={onRejoin} data-testid="rejoin-button">
            {rejoin}
          </Button>
        )}
        <Button size="large" look={rejoin ? 'plain' : 'primary'} onClick={onLobby} data-testid="lobby-button">
          Go to the lobby
        </Button>
      </div>
    </main>
  );
}

const told: Record<Ending, { title: string; words: string; rejoin?: string }> = {
  left: { title: 'You left the meeting', words: 'It goes on without you. Your place is kept for a while.', rejoin: 'Rejoin' },
  endedByMe: { title: 'You ended the meeting', words: 'Everybody has been sent out.' },
  ended: { title: 'The meeting has ended', words: 'Somebody ended it for everybody, or its time was over.' },
  removed: { title: 'You were removed from the meeting', words: 'You cannot come back to this one.' },
  elsewhere: {
    title: 'You joined from somewhere else',
    words: 'Your place in this meeting is now used by another page or device.',
    rejoin: 'Use it here',
  },
  full: { title: 'The meeting is full', words: 'Everybody who fits is in it already.', rejoin: 'Try again' },
  refused: { title: 'You were not let in', words: 'Your place in this meeting is no longer valid.' },
  lost: {
    title: 'The connection was lost',
    words: 'The meeting could not be reached for a while. Check your network, then try again.',
    rejoin: 'Try again',
  },
};

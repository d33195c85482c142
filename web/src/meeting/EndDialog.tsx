import { useEffect, useRef, useState } from 'react';
import { endMeeting, messageOf } from '../api';
import { Banner } from '../ui/Banner';
import { Button } from '../ui/Button';
import styles from './EndDialog.module.css';

interface Props {
  meetingId: string;
  streaming: boolean;
  onEnded: () => void;
  onClose: () => void;
}

export function EndDialog({ meetingId, streaming, onEnded, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [ending, setEnding] = useState(false);
  const [error, setError] = useState<string>();

  useEffect(() => dialog.current?.showModal(), []);

  const end = async () => {
    setEnding(true);
    setError(undefined);
    try {
      await endMeeting(meetingId);
      onEnded();
    } catch (err) {
      setEnding(false);
      setError(messageOf(err));
    }
  };

  return (
    <dialog className={styles.dialog} ref={dialog} onClose={onClose} aria-labelledby="end-title">
      <h2 id="end-title">End the meeting for everybody?</h2>
      <p>
        Everybody in it is sent out at once{streaming ? ', and the stream stops' : ''}. To go alone, leave instead.
      </p>
      {error && (
        <Banner tone="error" testId="error-banner">
          {error}
        </Banner>
      )}
      <div className={styles.buttons}>
        <Button size="large" onClick={onClose}>
          Cancel
        </Button>
        <Button size="large" look="danger" busy={ending} onClick={end} data-testid="end-confirm">
          {ending ? 'Ending…' : 'End for everybody'}
        </Button>
      </div>
    </dialog>
  );
}

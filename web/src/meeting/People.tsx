import { useAttendeeStatus, useLocalVideo } from 'amazon-chime-sdk-component-library-react';
import { Avatar } from '../ui/Avatar';
import { CameraIcon, CameraOffIcon, CloseIcon, MicIcon, MicOffIcon } from '../ui/icons';
import styles from './People.module.css';
import type { Participant } from './useParticipants';

interface Props {
  participants: Participant[];
  onClose: () => void;
}

export function People({ participants, onClose }: Props) {
  return (
    <aside className={styles.people} id="people" aria-label="People in the meeting" data-testid="roster">
      <header className={styles.header}>
        <h2>
          People <span>{participants.length}</span>
        </h2>
        <button type="button" aria-label="Close the list of people" onClick={onClose}>
          <CloseIcon />
        </button>
      </header>
      <ul>
        {participants.map((p) => (
          <Person key={p.id} participant={p} />
        ))}
      </ul>
    </aside>
  );
}

function Person({ participant: { id, name, local, speaking } }: { participant: Participant }) {
  const { muted, videoEnabled } = useAttendeeStatus(id);
  const { isVideoEnabled } = useLocalVideo();
  const camera = local ? isVideoEnabled : videoEnabled;
  return (
    <li className={styles.person} data-testid="roster-attendee" data-attendee-id={id}>
      <Avatar name={name} id={id} size="2.25rem" />
      <span className={styles.name}>
        {name}
        {local && <small>You</small>}
      </span>
      <span className={`${styles.state} ${speaking && !muted ? styles.speaking : ''}`} role="img" aria-label={muted ? 'Microphone off' : 'Microphone on'}>
        {muted ? <MicOffIcon /> : <MicIcon />}
      </span>
      <span className={styles.state} role="img" aria-label={camera ? 'Camera on' : 'Camera off'}>
        {camera ? <CameraIcon /> : <CameraOffIcon />}
      </span>
    </li>
  );
}

import {
  LocalVideo,
  RemoteVideo,
  useAttendeeStatus,
  useLocalVideo,
  useRemoteVideoTileState,
} from 'amazon-chime-sdk-component-library-react';
import { Avatar } from '../ui/Avatar';
import { MicOffIcon } from '../ui/icons';
import styles from './Tile.module.css';
import type { Participant } from './useParticipants';

// Tile is one person: the camera's picture, or initials while it is off.
export function Tile({ participant: { id, name, local, speaking } }: { participant: Participant }) {
  const { muted } = useAttendeeStatus(id);
  const { isVideoEnabled } = useLocalVideo();
  const { attendeeIdToTileId } = useRemoteVideoTileState();
  const tileId = attendeeIdToTileId[id];
  const hasVideo = local ? isVideoEnabled : tileId !== undefined;
  const lit = speaking && !muted;
  return (
    <div
      className={`${styles.tile} ${lit ? styles.speaking : ''}`}
      data-testid="tile"
      data-attendee-id={id}
      data-name={name}
      data-local={local}
      data-video={hasVideo}
      data-muted={muted}
      data-speaking={lit}
    >
      {/* Behind the picture, to be seen until its first frame is there. */}
      <div className={styles.blank}>
        <Avatar name={name} id={id} size="clamp(3.5rem, 24cqmin, 7.5rem)" />
      </div>
      {local ? <LocalVideo className={styles.video} /> : tileId !== undefined && <RemoteVideo className={styles.video} tileId={tileId} />}
      <div className={styles.plate}>
        {muted && (
          <span className={styles.muted} role="img" aria-label="Muted">
            <MicOffIcon />
          </span>
        )}
        <span className={styles.name}>
          {name}
          {local && ' (you)'}
        </span>
      </div>
    </div>
  );
}

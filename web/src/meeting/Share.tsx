import { VideoTile, useAudioVideo } from 'amazon-chime-sdk-component-library-react';
import { useEffect, useRef } from 'react';
import styles from './Share.module.css';
import type { Participant } from './useParticipants';
import type { Shared } from './useShare';

// Share is a shared screen, whole, however wide it is.
export function Share({ shared: { tileId, attendeeId }, participants }: { shared: Shared; participants: Participant[] }) {
  const audioVideo = useAudioVideo();
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (!audioVideo || !video.current) {
      return undefined;
    }
    audioVideo.bindVideoElement(tileId, video.current);
    return () => {
      // A tile that is gone has unbound itself.
      if (audioVideo.getVideoTile(tileId)) {
        audioVideo.unbindVideoElement(tileId);
      }
    };
  }, [audioVideo, tileId]);
  const owner = participants.find((p) => p.id === attendeeId);
  const whose = owner?.local ? 'Your screen' : `${owner?.name ?? 'Somebody'}’s screen`;
  return (
    <figure className={styles.share} data-testid="share" data-attendee-id={attendeeId} data-local={owner?.local ?? false}>
      <VideoTile ref={video} objectFit="contain" className={styles.video} />
      <figcaption className={styles.whose}>{whose}</figcaption>
    </figure>
  );
}

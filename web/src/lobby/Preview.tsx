import { useEffect, useRef } from 'react';
import { Avatar } from '../ui/Avatar';
import { CameraIcon, CameraOffIcon, MicIcon, MicOffIcon } from '../ui/icons';
import type { Access, Devices, DeviceStore, Kind, Source } from './devices';
import { LevelMeter } from './LevelMeter';
import styles from './Preview.module.css';

interface Props {
  devices: Devices;
  store: DeviceStore;
  name: string;
}

export function Preview({ devices, store, name }: Props) {
  const { mic, camera } = devices;
  const video = useRef<HTMLVideoElement>(null);

  useEffect(() => {
    if (video.current) {
      video.current.srcObject = camera.track ? new MediaStream([camera.track]) : null;
    }
  }, [camera.track]);

  return (
    <div className={styles.card}>
      <div className={styles.picture}>
        <video ref={video} autoPlay muted playsInline hidden={!camera.track} aria-label="Your camera" data-testid="preview-video" />
        {!camera.track && (
          <div className={styles.blank}>
            <Avatar name={name} id="" size="4.5rem" />
            <p>{told('camera', camera.access)}</p>
          </div>
        )}
        <div className={styles.buttons}>
          <Toggle kind="mic" source={mic} store={store} />
          <Toggle kind="camera" source={camera} store={store} />
        </div>
      </div>
      <div className={styles.level}>
        {mic.track ? <LevelMeter track={mic.track} /> : <p>{told('mic', mic.access)}</p>}
      </div>
    </div>
  );
}

function Toggle({ kind, source, store }: { kind: Kind; source: Source; store: DeviceStore }) {
  const on = source.on && (source.access === 'ready' || source.access === 'asking');
  const word = kind === 'mic' ? 'microphone' : 'camera';
  const [On, Off] = kind === 'mic' ? [MicIcon, MicOffIcon] : [CameraIcon, CameraOffIcon];
  return (
    <button
      type="button"
      className={styles.toggle}
      aria-pressed={on}
      aria-label={`Turn the ${word} ${on ? 'off' : 'on'}`}
      title={`Turn the ${word} ${on ? 'off' : 'on'}`}
      data-testid={`${kind}-preview-button`}
      onClick={() => void store.toggle(kind)}
    >
      {on ? <On /> : <Off />}
    </button>
  );
}

function told(kind: Kind, access: Access): string {
  const word = kind === 'mic' ? 'microphone' : 'camera';
  switch (access) {
    case 'asking':
    case 'ready':
      return `Waiting for the ${word}. If the browser asks, allow it.`;
    case 'off':
      return `Your ${word} is off.`;
    case 'denied':
      return `The browser blocks the ${word}. Allow it beside the address; without it you can still join and ${kind === 'mic' ? 'listen' : 'be heard'}.`;
    case 'missing':
      return `No ${word} found. You can still join.`;
    case 'busy':
      return `The ${word} does not start. Another program may be using it.`;
    case 'insecure':
      return `This page was opened without https, so the browser hides the ${word}.`;
  }
}

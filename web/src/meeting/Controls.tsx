import { useAudioOutputs, useMeetingManager } from 'amazon-chime-sdk-component-library-react';
import { type ReactNode, useMemo } from 'react';
import { Menu } from '../ui/Menu';
import { CameraIcon, CameraOffIcon, ChevronIcon, LeaveIcon, MicIcon, MicOffIcon, ShareIcon, SpeakerIcon, StopIcon } from '../ui/icons';
import styles from './Controls.module.css';
import { useCamera } from './useCamera';
import { useMicrophone } from './useMicrophone';
import { useShare } from './useShare';
import { useShortcuts } from './useShortcuts';

interface Props {
  cameraOpening: boolean;
  onTrouble: (message: string) => void;
  onLeave: () => void;
  onEnd: () => void;
}

export function Controls({ cameraOpening, onTrouble, onLeave, onEnd }: Props) {
  const manager = useMeetingManager();
  const mic = useMicrophone(onTrouble);
  const camera = useCamera(cameraOpening, onTrouble);
  const share = useShare(onTrouble);
  const { devices: speakers, selectedDevice: speaker } = useAudioOutputs();
  useShortcuts(useMemo(() => ({ m: mic.toggle, v: camera.toggle, s: share.toggle }), [mic.toggle, camera.toggle, share.toggle]));

  const chooseSpeaker = (id: string) => {
    manager.startAudioOutputDevice(id).catch(() => onTrouble('The sound cannot be sent to that speaker.'));
  };

  return (
    <div className={styles.bar} role="toolbar" aria-label="Meeting controls">
      <Split
        on={mic.on}
        label={mic.on ? 'Mute the microphone' : 'Unmute the microphone'}
        shortcut="M"
        testId="mic-button"
        onToggle={mic.toggle}
        icon={mic.on ? <MicIcon /> : <MicOffIcon />}
      >
        <DeviceMenu name="Microphone" devices={mic.devices} selected={mic.selected} onSelect={(id) => void mic.choose(id)} />
      </Split>
      <Split
        on={camera.on}
        busy={camera.busy}
        label={camera.on ? 'Turn the camera off' : 'Turn the camera on'}
        shortcut="V"
        testId="camera-button"
        onToggle={camera.toggle}
        icon={camera.on ? <CameraIcon /> : <CameraOffIcon />}
      >
        <DeviceMenu name="Camera" devices={camera.devices} selected={camera.selected} onSelect={(id) => void camera.choose(id)} />
      </Split>
      <Menu
        label="Choose a speaker"
        title="Speaker"
        choices={speakers.map((d) => ({ id: d.deviceId, label: d.label || 'Speaker' }))}
        selected={speaker ?? speakers[0]?.deviceId}
        onSelect={chooseSpeaker}
        buttonClassName={styles.round}
      >
        <SpeakerIcon />
      </Menu>
      {share.possible && (
        <button
          type="button"
          className={`${styles.round} ${share.on ? styles.sharing : ''}`}
          aria-pressed={share.on}
          aria-label={share.on ? 'Stop sharing the screen' : 'Share the screen'}
          aria-busy={share.busy || undefined}
          aria-keyshortcuts="S"
          title={`${share.on ? 'Stop sharing the screen' : 'Share the screen'} (S)`}
          data-testid="share-button"
          onClick={share.toggle}
        >
          <ShareIcon />
        </button>
      )}
      <span className={styles.gap} />
      <button type="button" className={styles.leave} onClick={onLeave} data-testid="leave-button">
        <LeaveIcon /> Leave
      </button>
      <button type="button" className={styles.end} onClick={onEnd} data-testid="end-button" title="End the meeting for everybody">
        <StopIcon />
        <span>
          End<span className={styles.wide}> for everybody</span>
        </span>
      </button>
    </div>
  );
}

interface SplitProps {
  on: boolean;
  busy?: boolean;
  label: string;
  shortcut: string;
  testId: string;
  onToggle: () => void;
  icon: ReactNode;
  children: ReactNode;
}

function Split({ on, busy, label, shortcut, testId, onToggle, icon, children }: SplitProps) {
  return (
    <div className={`${styles.split} ${on ? '' : styles.off}`}>
      <button
        type="button"
        className={styles.toggle}
        aria-pressed={on}
        aria-label={label}
        aria-busy={busy || undefined}
        aria-keyshortcuts={shortcut}
        title={`${label} (${shortcut})`}
        data-testid={testId}
        onClick={onToggle}
      >
        {icon}
      </button>
      {children}
    </div>
  );
}

interface DeviceMenuProps {
  name: string;
  devices: { deviceId: string; label: string }[];
  selected: string | undefined;
  onSelect: (id: string) => void;
}

function DeviceMenu({ name, devices, selected, onSelect }: DeviceMenuProps) {
  return (
    <Menu
      label={`Choose a ${name.toLowerCase()}`}
      title={name}
      choices={devices.map((d) => ({ id: d.deviceId, label: d.label || name }))}
      selected={selected}
      onSelect={onSelect}
      buttonClassName={styles.caret}
    >
      <ChevronIcon />
    </Menu>
  );
}

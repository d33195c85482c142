import { useState } from 'react';
import { Button } from '../ui/Button';
import { CameraIcon, MicIcon, SpeakerIcon } from '../ui/icons';
import type { Device, Devices, DeviceStore } from './devices';
import styles from './DevicePicker.module.css';
import { ring } from './testTone';

export function DevicePicker({ devices, store }: { devices: Devices; store: DeviceStore }) {
  const { mic, camera, speakers, speakerId } = devices;
  const [ringing, setRinging] = useState(false);

  const test = async () => {
    setRinging(true);
    try {
      await ring(speakerId);
    } finally {
      setRinging(false);
    }
  };

  return (
    <fieldset className={styles.picker}>
      <legend className="visually-hidden">Devices</legend>
      <Picker
        icon={<MicIcon />}
        label="Microphone"
        devices={mic.devices}
        selected={mic.deviceId}
        testId="mic-select"
        onSelect={(id) => void store.choose('mic', id)}
      />
      <Picker
        icon={<CameraIcon />}
        label="Camera"
        devices={camera.devices}
        selected={camera.deviceId}
        testId="camera-select"
        onSelect={(id) => void store.choose('camera', id)}
      />
      <div className={styles.speaker}>
        <Picker
          icon={<SpeakerIcon />}
          label="Speaker"
          devices={speakers}
          selected={speakerId}
          testId="speaker-select"
          onSelect={(id) => store.chooseSpeaker(id)}
        />
        <Button look="plain" onClick={test} disabled={ringing} data-testid="speaker-test">
          {ringing ? 'Ringing…' : 'Test'}
        </Button>
      </div>
    </fieldset>
  );
}

interface PickerProps {
  icon: React.ReactNode;
  label: string;
  devices: Device[];
  selected: string | undefined;
  testId: string;
  onSelect: (id: string) => void;
}

function Picker({ icon, label, devices, selected, testId, onSelect }: PickerProps) {
  return (
    <label className={styles.row}>
      {icon}
      <span className="visually-hidden">{label}</span>
      <select
        value={selected ?? ''}
        disabled={devices.length === 0}
        onChange={(event) => onSelect(event.target.value)}
        data-testid={testId}
      >
        {devices.length === 0 && <option value="">{label}: the default one</option>}
        {devices.map((d) => (
          <option key={d.id} value={d.id}>
            {d.label}
          </option>
        ))}
      </select>
    </label>
  );
}

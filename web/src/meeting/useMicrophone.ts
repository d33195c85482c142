import { useAudioInputs, useMeetingManager, useToggleLocalMute } from 'amazon-chime-sdk-component-library-react';
import { useCallback } from 'react';
import { deviceTrouble } from './deviceTrouble';

export function useMicrophone(onTrouble: (message: string) => void) {
  const manager = useMeetingManager();
  const { devices, selectedDevice } = useAudioInputs();
  const { muted, toggleMute } = useToggleLocalMute();

  const choose = useCallback(
    async (id: string) => {
      try {
        await manager.startAudioInputDevice(id);
        return true;
      } catch (err) {
        onTrouble(deviceTrouble('mic', err));
        return false;
      }
    },
    [manager, onTrouble],
  );

  const toggle = useCallback(async () => {
    // Somebody who joined without a microphone gets one when they want to speak.
    if (muted && selectedDevice === undefined && !(await choose('default'))) {
      return;
    }
    toggleMute();
  }, [muted, selectedDevice, choose, toggleMute]);

  return { on: !muted, toggle, choose, devices, selected: idOf(selectedDevice) };
}

function idOf(device: unknown): string | undefined {
  return typeof device === 'string' ? device : undefined;
}

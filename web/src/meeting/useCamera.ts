import { useAudioVideo, useLocalVideo, useMeetingManager, useVideoInputs } from 'amazon-chime-sdk-component-library-react';
import { useCallback, useState } from 'react';
import { deviceTrouble } from './deviceTrouble';

export function useCamera(onTrouble: (message: string) => void) {
  const manager = useMeetingManager();
  const audioVideo = useAudioVideo();
  const { devices, selectedDevice } = useVideoInputs();
  const { isVideoEnabled, setIsVideoEnabled, hasReachedVideoLimit } = useLocalVideo();
  const [busy, setBusy] = useState(false);
  const selected = typeof selectedDevice === 'string' ? selectedDevice : undefined;

  const start = useCallback(
    async (id: string) => {
      if (!isVideoEnabled && hasReachedVideoLimit) {
        onTrouble('This meeting shows as many cameras as it can. Yours has to wait for one to go.');
        return;
      }
      setBusy(true);
      try {
        await manager.startVideoInputDevice(id);
        audioVideo?.startLocalVideoTile();
        setIsVideoEnabled(true);
      } catch (err) {
        onTrouble(deviceTrouble('camera', err));
      } finally {
        setBusy(false);
      }
    },
    [manager, audioVideo, isVideoEnabled, hasReachedVideoLimit, setIsVideoEnabled, onTrouble],
  );

  const toggle = useCallback(async () => {
    if (!isVideoEnabled) {
      await start(selected ?? devices[0]?.deviceId ?? 'default');
      return;
    }
    audioVideo?.stopLocalVideoTile();
    await audioVideo?.stopVideoInput();
    setIsVideoEnabled(false);
  }, [isVideoEnabled, start, selected, devices, audioVideo, setIsVideoEnabled]);

  return { on: isVideoEnabled, busy, toggle, choose: start, devices, selected };
}

import { useAudioVideo, useLocalVideo, useMeetingManager, useVideoInputs } from 'amazon-chime-sdk-component-library-react';
import type { VideoInputDevice } from 'amazon-chime-sdk-js';
import { useCallback, useState } from 'react';
import { deviceTrouble } from './deviceTrouble';

// anyCamera lets the browser choose. Unlike for microphones there is no id that means it.
export const anyCamera: MediaTrackConstraints = { facingMode: 'user' };

// useCamera gives the own camera its switch. While it is opening, on the way
// in or here, it counts as on and the switch rests.
export function useCamera(opening: boolean, onTrouble: (message: string) => void) {
  const manager = useMeetingManager();
  const audioVideo = useAudioVideo();
  const { devices, selectedDevice } = useVideoInputs();
  const { isVideoEnabled, setIsVideoEnabled, hasReachedVideoLimit } = useLocalVideo();
  const [starting, setStarting] = useState(false);
  const selected = typeof selectedDevice === 'string' ? selectedDevice : undefined;

  const start = useCallback(
    async (device: VideoInputDevice) => {
      if (!isVideoEnabled && hasReachedVideoLimit) {
        onTrouble('This meeting shows as many cameras as it can. Yours has to wait for one to go.');
        return;
      }
      setStarting(true);
      try {
        await manager.startVideoInputDevice(device);
        audioVideo?.startLocalVideoTile();
        setIsVideoEnabled(true);
      } catch (err) {
        onTrouble(deviceTrouble('camera', err));
      } finally {
        setStarting(false);
      }
    },
    [manager, audioVideo, isVideoEnabled, hasReachedVideoLimit, setIsVideoEnabled, onTrouble],
  );

  const busy = opening || starting;
  const toggle = useCallback(async () => {
    if (busy) {
      return;
    }
    if (!isVideoEnabled) {
      await start(selected || devices[0]?.deviceId || anyCamera);
      return;
    }
    audioVideo?.stopLocalVideoTile();
    await audioVideo?.stopVideoInput();
    setIsVideoEnabled(false);
  }, [busy, isVideoEnabled, start, selected, devices, audioVideo, setIsVideoEnabled]);

  return { on: isVideoEnabled || busy, busy, toggle, choose: start, devices, selected };
}

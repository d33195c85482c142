import {
  DeviceLabels,
  MeetingStatus,
  useLocalVideo,
  useMeetingManager,
  useMeetingStatus,
} from 'amazon-chime-sdk-component-library-react';
import { type AudioVideoObserver, type MeetingSessionStatus, MeetingSessionConfiguration } from 'amazon-chime-sdk-js';
import { useCallback, useEffect, useRef, useState } from 'react';
import type { Seat } from '../api';
import type { Choices } from '../lobby/devices';
import { attendeeName } from '../names';
import { deviceTrouble } from './deviceTrouble';
import { type Ending, endingOf } from './ending';
import { anyCamera } from './useCamera';

export type Connection = 'connecting' | 'connected' | 'reconnecting';

export interface Session {
  connection: Connection;
  // The way to the server is bad, but there.
  weak: boolean;
  // The camera that was on in the lobby is not yet on here.
  cameraOpening: boolean;
  leave: (ending: Ending) => void;
}

// useSession joins the seat's meeting once and stays until leave is called or
// the meeting is over; onOver is then told why.
export function useSession(
  seat: Seat,
  choices: Choices,
  onOver: (ending: Ending) => void,
  onTrouble: (message: string) => void,
): Session {
  const manager = useMeetingManager();
  const { setIsVideoEnabled } = useLocalVideo();
  const status = useMeetingStatus();
  const [weak, setWeak] = useState(false);
  const [cameraOpening, setCameraOpening] = useState(choices.camera.on);
  const begun = useRef(false);
  const over = useRef(false);

  const finish = useCallback(
    (ending: Ending) => {
      if (!over.current) {
        over.current = true;
        onOver(ending);
      }
    },
    [onOver],
  );

  useEffect(() => {
    if (begun.current) {
      return;
    }
    begun.current = true;

    let begin: () => void;
    const connected = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const observer: AudioVideoObserver = {
      audioVideoDidStart: () => {
        begin();
        setWeak(false);
      },
      audioVideoDidStop: (sessionStatus: MeetingSessionStatus) => finish(endingOf(sessionStatus.statusCode())),
      connectionDidBecomePoor: () => setWeak(true),
      connectionDidBecomeGood: () => setWeak(false),
    };

    // The camera opens while the connection is made, and neither waits for the other.
    const startCamera = async () => {
      try {
        await manager.startVideoInputDevice(choices.camera.deviceId || anyCamera);
        await connected;
        manager.audioVideo?.startLocalVideoTile();
        setIsVideoEnabled(true);
      } catch (err) {
        onTrouble(deviceTrouble('camera', err));
      } finally {
        setCameraOpening(false);
      }
    };

    const join = async () => {
      // The providers around this one subscribe after it, in the same turn; they must hear of the join.
      await Promise.resolve();
      const configuration = new MeetingSessionConfiguration(seat.Meeting, seat.Attendee);
      manager.getAttendee = async (_id, externalUserId) => ({ name: attendeeName(externalUserId) });
      await manager.join(configuration, { deviceLabels: labels(choices), skipDeviceSelection: true });
      manager.audioVideo?.addObserver(observer);
      if (choices.speakerId) {
        await manager.startAudioOutputDevice(choices.speakerId).catch(() => undefined);
      }
      if (choices.camera.on) {
        void startCamera();
      }
      if (choices.mic.on) {
        try {
          await manager.startAudioInputDevice(choices.mic.deviceId ?? 'default');
        } catch (err) {
          onTrouble(deviceTrouble('mic', err));
          manager.audioVideo?.realtimeMuteLocalAudio();
        }
      } else {
        manager.audioVideo?.realtimeMuteLocalAudio();
      }
      await manager.start();
    };
    join().catch((err: unknown) => {
      console.error('join the meeting:', err);
      finish('lost');
    });
  }, [seat, choices, manager, setIsVideoEnabled, finish, onTrouble]);

  const leave = useCallback(
    (ending: Ending) => {
      finish(ending);
      void manager.leave();
    },
    [finish, manager],
  );

  useEffect(() => {
    // A page that goes away says goodbye, so that nobody looks at a frozen picture.
    const goodbye = () => manager.audioVideo?.stop();
    window.addEventListener('pagehide', goodbye);
    return () => window.removeEventListener('pagehide', goodbye);
  }, [manager]);

  return { connection: connectionOf(status), weak, cameraOpening, leave };
}

function connectionOf(status: MeetingStatus): Connection {
  switch (status) {
    case MeetingStatus.Succeeded:
      return 'connected';
    case MeetingStatus.Reconnecting:
      return 'reconnecting';
    default:
      return 'connecting';
  }
}

// labels says for which devices the SDK may ask the person: never again for those refused in the lobby.
function labels({ mic, camera }: Choices): DeviceLabels {
  if (mic.allowed) {
    return camera.allowed ? DeviceLabels.AudioAndVideo : DeviceLabels.Audio;
  }
  return camera.allowed ? DeviceLabels.Video : DeviceLabels.None;
}

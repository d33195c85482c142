import { useContentShareControls, useContentShareState } from 'amazon-chime-sdk-component-library-react';
import { useCallback } from 'react';

export interface Shared {
  tileId: number;
  // Who shares; the screen is an attendee of its own to the SDK.
  attendeeId: string;
}

const contentSuffix = '#content';

// useShared tells which screen is to be seen now.
export function useShared(): Shared | undefined {
  const { tiles, tileIdToAttendeeId } = useContentShareState();
  const tileId = tiles.at(-1);
  if (tileId === undefined) {
    return undefined;
  }
  return { tileId, attendeeId: (tileIdToAttendeeId[tileId] ?? '').replace(contentSuffix, '') };
}

// useShare gives the own screen its switch. Somebody else's share ends when
// one's own begins.
export function useShare(onTrouble: (message: string) => void) {
  const { isLocalUserSharing, isLocalShareLoading, canStartContentShare } = useContentShareState();
  const { toggleContentShare } = useContentShareControls();
  const possible = typeof navigator.mediaDevices?.getDisplayMedia === 'function';
  const toggle = useCallback(() => {
    if (!isLocalUserSharing && !canStartContentShare) {
      onTrouble('Somebody is sharing already. Yours has to wait for that to end.');
      return;
    }
    toggleContentShare().catch((err: unknown) => {
      // Closing the browser's own dialogue is no trouble.
      if (!(err instanceof DOMException && err.name === 'NotAllowedError')) {
        onTrouble('The screen cannot be shared.');
      }
    });
  }, [isLocalUserSharing, canStartContentShare, toggleContentShare, onTrouble]);
  return { possible, on: isLocalUserSharing, busy: isLocalShareLoading, toggle };
}

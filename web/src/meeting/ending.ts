import { MeetingSessionStatusCode } from 'amazon-chime-sdk-js';

// Why a person is no longer in the meeting.
export type Ending = 'left' | 'endedByMe' | 'ended' | 'removed' | 'elsewhere' | 'full' | 'refused' | 'lost';

export function endingOf(code: MeetingSessionStatusCode): Ending {
  switch (code) {
    case MeetingSessionStatusCode.Left:
      return 'left';
    case MeetingSessionStatusCode.MeetingEnded:
      return 'ended';
    case MeetingSessionStatusCode.AudioAttendeeRemoved:
      return 'removed';
    case MeetingSessionStatusCode.AudioJoinedFromAnotherDevice:
      return 'elsewhere';
    case MeetingSessionStatusCode.AudioCallAtCapacity:
      return 'full';
    case MeetingSessionStatusCode.AudioAuthenticationRejected:
      return 'refused';
    default:
      return 'lost';
  }
}

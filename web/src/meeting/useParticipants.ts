import { useActiveSpeakersState, useRosterState } from 'amazon-chime-sdk-component-library-react';
import { useMemo } from 'react';
import type { Seat } from '../api';
import { attendeeName } from '../names';

export interface Participant {
  id: string;
  name: string;
  local: boolean;
  speaking: boolean;
}

// useParticipants lists who is in the meeting, oneself first, then in the
// order of coming.
export function useParticipants(seat: Seat): Participant[] {
  const { roster } = useRosterState();
  const speakers = useActiveSpeakersState();
  return useMemo(() => {
    const { AttendeeId, ExternalUserId } = seat.Attendee;
    const me = { id: AttendeeId, name: attendeeName(ExternalUserId), local: true };
    const others = Object.values(roster)
      .filter((a) => a.chimeAttendeeId !== AttendeeId)
      .map((a) => ({ id: a.chimeAttendeeId, name: attendeeName(a.externalUserId), local: false }));
    return [me, ...others].map((p) => ({ ...p, speaking: speakers.includes(p.id) }));
  }, [seat, roster, speakers]);
}

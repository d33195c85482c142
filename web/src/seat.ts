import type { Seat } from './api';

// The seat of the meeting this tab is in outlives a reload, and nothing else:
// another tab, another person, must not find it.
const key = 'belfry.seat';

export function keepSeat(seat: Seat): void {
  sessionStorage.setItem(key, JSON.stringify(seat));
}

export function keptSeat(meetingId: string): Seat | undefined {
  try {
    const seat = JSON.parse(sessionStorage.getItem(key) ?? 'null') as Seat | null;
    return seat?.Meeting.MeetingId === meetingId ? seat : undefined;
  } catch {
    return undefined;
  }
}

export function forgetSeat(): void {
  sessionStorage.removeItem(key);
}

import { MeetingSessionStatus } from 'amazon-chime-sdk-js';
import { expect, test } from 'vitest';
import { endingOf } from './ending';

// What the server says in an AUDIO_STATUS frame; the SDK turns it into its own codes.
const audioStatus = 20;

test.each([
  [301, 'elsewhere'],
  [403, 'refused'],
  [409, 'full'],
  [410, 'ended'],
  [411, 'removed'],
  [503, 'lost'],
])('audio status %d: %s', (status, ending) => {
  const frame = { type: audioStatus, audioStatus: { audioStatus: status } };
  const code = MeetingSessionStatus.fromSignalFrame(frame as never).statusCode();
  expect(endingOf(code)).toBe(ending);
});

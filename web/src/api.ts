// The site's own API: join, end, stream. Everything else a meeting needs comes
// from the SDK, which is handed what join answers.

export interface MediaPlacement {
  AudioHostUrl: string;
  SignalingUrl: string;
}

export interface Meeting {
  MeetingId: string;
  ExternalMeetingId?: string;
  MediaRegion?: string;
  MediaPlacement: MediaPlacement;
}

export interface Attendee {
  AttendeeId: string;
  ExternalUserId: string;
  JoinToken: string;
}

// Seat is one attendee's place in one meeting.
export interface Seat {
  Meeting: Meeting;
  Attendee: Attendee;
}

export interface StartedStream {
  mediaPipelineId: string;
  playbackUrl: string;
}

export interface StreamReport {
  state: 'offline' | 'starting' | 'live' | 'failed';
  mediaPipelineId?: string;
  playbackUrl?: string;
  startedAt?: string;
  cause?: string;
}

// ApiError is an answer that says no, in the server's words.
export class ApiError extends Error {
  override name = 'ApiError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

// UnreachableError means that no answer came at all.
export class UnreachableError extends Error {
  override name = 'UnreachableError';

  constructor(cause: unknown) {
    super('The server cannot be reached. Check the connection and try again.', { cause });
  }
}

// Starting a stream waits until it is live, so it takes longer than the rest.
const replyMs = 15_000;
const startStreamMs = 90_000;

export function join(name: string): Promise<Seat> {
  return call<Seat>('POST', '/api/join', name ? { name } : undefined, replyMs);
}

export async function endMeeting(meetingId: string): Promise<void> {
  await call('POST', '/api/end', { meetingId }, replyMs);
}

export function startStream(meetingId: string, streamTarget?: string): Promise<StartedStream> {
  return call('POST', '/api/stream', streamTarget ? { meetingId, streamTarget } : { meetingId }, startStreamMs);
}

export async function stopStream(mediaPipelineId: string): Promise<void> {
  await call('POST', '/api/stream', { streamAction: 'delete', mediaPipelineId }, startStreamMs);
}

export function streamReport(meetingId: string): Promise<StreamReport> {
  return call('GET', `/api/stream?meetingId=${encodeURIComponent(meetingId)}`, undefined, replyMs);
}

// messageOf turns whatever was thrown into a sentence for the person in front of the page.
export function messageOf(err: unknown): string {
  return err instanceof Error && err.message ? err.message : 'Something went wrong. Try again.';
}

async function call<T>(method: string, path: string, body: object | undefined, timeoutMs: number): Promise<T> {
  const init: RequestInit = { method, cache: 'no-store', signal: AbortSignal.timeout(timeoutMs) };
  if (body) {
    init.body = JSON.stringify(body);
    init.headers = { 'Content-Type': 'application/json' };
  }
  let status: number;
  let text: string;
  try {
    const response = await fetch(path, init);
    status = response.status;
    text = await response.text();
  } catch (err) {
    throw new UnreachableError(err);
  }
  const value = parse(text);
  if (status < 200 || status > 299) {
    throw new ApiError(status, reason(value) ?? `The server answered with status ${status}.`);
  }
  if (text && value === undefined) {
    throw new ApiError(status, 'The server sent an answer this page does not understand.');
  }
  return value as T;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function reason(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) {
    return undefined;
  }
  const { error, message } = value as { error?: unknown; message?: unknown };
  const said = error ?? message;
  return typeof said === 'string' && said ? said : undefined;
}

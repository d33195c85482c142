import type { StartedStream, StreamReport } from '../api';

// The stream of a meeting as this page knows it. The server's reports are the
// truth; what was pressed here is shown until a report asked for afterwards
// has come.

export type Phase = 'offline' | 'starting' | 'live' | 'stopping' | 'failed';

export interface StreamState {
  phase: Phase;
  pipelineId?: string;
  playbackUrl?: string;
  startedAt?: string;
  // Why the stream is not there, in words.
  cause?: string;
  // When this page saw the start begin, in milliseconds since 1970.
  since?: number;
  // The failure that was read and put away: the server goes on reporting it.
  dismissed?: string;
  // A press whose answer is still awaited.
  pending?: 'start' | 'stop';
  // Grows with every press and every answer, so that a report asked for before one is known as old.
  epoch: number;
  // Reports missed in a row. The page must not say live on the word of an old one.
  missed: number;
}

export type StreamEvent =
  | { type: 'startPressed'; at: number }
  | { type: 'startAnswered'; stream: StartedStream }
  | { type: 'startRefused'; cause: string }
  | { type: 'stopPressed' }
  | { type: 'stopAnswered' }
  | { type: 'stopRefused' }
  | { type: 'reported'; epoch: number; report: StreamReport; at: number }
  | { type: 'reportMissed' }
  | { type: 'dismissed' };

export const initialStream: StreamState = { phase: 'offline', epoch: 0, missed: 0 };

// After so many missed reports in a row the state counts as unknown.
const missedLimit = 2;

export function isUncertain(state: StreamState): boolean {
  return state.missed >= missedLimit && state.phase !== 'offline';
}

export function streamReducer(state: StreamState, event: StreamEvent): StreamState {
  const { epoch, missed } = state;
  switch (event.type) {
    case 'startPressed':
      return { phase: 'starting', since: event.at, pending: 'start', epoch: epoch + 1, missed };
    case 'startAnswered':
      return {
        ...state,
        pipelineId: event.stream.mediaPipelineId,
        playbackUrl: event.stream.playbackUrl,
        pending: undefined,
        epoch: epoch + 1,
      };
    case 'startRefused':
      return { phase: 'failed', cause: event.cause, epoch: epoch + 1, missed };
    case 'stopPressed':
      return { ...state, phase: 'stopping', pending: 'stop', epoch: epoch + 1 };
    case 'stopAnswered':
      return { phase: 'offline', epoch: epoch + 1, missed };
    case 'stopRefused':
      return { ...state, phase: state.startedAt ? 'live' : 'starting', pending: undefined, epoch: epoch + 1 };
    case 'reported':
      return event.epoch === epoch ? withReport({ ...state, missed: 0 }, event.report, event.at) : state;
    case 'reportMissed':
      return { ...state, missed: missed + 1 };
    case 'dismissed':
      return { phase: 'offline', dismissed: failureKey(state.pipelineId, state.cause), epoch: epoch + 1, missed };
  }
}

function withReport(state: StreamState, report: StreamReport, at: number): StreamState {
  const stream = {
    pipelineId: report.mediaPipelineId || state.pipelineId,
    playbackUrl: report.playbackUrl || state.playbackUrl,
  };
  const { epoch, missed, pending, since } = state;
  if (pending === 'stop') {
    return state;
  }
  if (pending === 'start') {
    // The answer to the press brings the end of the start; a report can only add what is known.
    return { ...state, ...stream };
  }
  switch (report.state) {
    case 'starting':
      // With a cause: it was on the air, is not now, and the server keeps trying.
      return { phase: 'starting', ...stream, cause: report.cause, since: state.phase === 'starting' ? since : at, epoch, missed };
    case 'live':
      return { phase: 'live', ...stream, startedAt: report.startedAt, epoch, missed };
    case 'failed': {
      const cause = report.cause || 'The stream failed.';
      if (state.dismissed === failureKey(report.mediaPipelineId, cause)) {
        return state;
      }
      return { phase: 'failed', ...stream, cause, epoch, missed };
    }
    case 'offline':
      // A refusal was told to this page alone; it stays until read.
      return state.phase === 'failed' ? { ...state, pipelineId: undefined } : { phase: 'offline', epoch, missed };
  }
}

function failureKey(pipelineId: string | undefined, cause: string | undefined): string {
  return `${pipelineId ?? ''} ${cause ?? ''}`;
}

import { useCallback, useEffect, useReducer, useRef } from 'react';
import { messageOf, startStream, stopStream, streamReport } from '../api';
import { type StreamState, initialStream, streamReducer } from './state';

const reportEveryMs = 2000;

export interface Stream {
  state: StreamState;
  start: (target: string) => void;
  // Starts again to where the last start from this page was to go.
  retry: () => void;
  stop: () => void;
  dismiss: () => void;
}

// useStream keeps the stream of a meeting in step with the server: everybody
// in the meeting asks, so everybody sees the same. A stop that was refused is
// told to onError.
export function useStream(meetingId: string, onError: (message: string) => void): Stream {
  const [state, dispatch] = useReducer(streamReducer, initialStream);
  const latest = useRef(state);
  latest.current = state;
  const lastTarget = useRef('');

  useEffect(() => {
    let over = false;
    let timer: ReturnType<typeof setTimeout>;
    const ask = async () => {
      const { epoch } = latest.current;
      try {
        const report = await streamReport(meetingId);
        if (!over) {
          dispatch({ type: 'reported', epoch, report, at: Date.now() });
        }
      } catch {
        if (!over) {
          dispatch({ type: 'reportMissed' });
        }
      }
      if (!over) {
        timer = setTimeout(ask, reportEveryMs);
      }
    };
    void ask();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [meetingId]);

  const start = useCallback(
    async (target: string) => {
      lastTarget.current = target;
      dispatch({ type: 'startPressed', at: Date.now() });
      try {
        dispatch({ type: 'startAnswered', stream: await startStream(meetingId, target.trim() || undefined) });
      } catch (err) {
        dispatch({ type: 'startRefused', cause: messageOf(err) });
      }
    },
    [meetingId],
  );

  const retry = useCallback(() => void start(lastTarget.current), [start]);

  const stop = useCallback(async () => {
    const { pipelineId } = latest.current;
    if (!pipelineId) {
      return;
    }
    dispatch({ type: 'stopPressed' });
    try {
      await stopStream(pipelineId);
      dispatch({ type: 'stopAnswered' });
    } catch (err) {
      dispatch({ type: 'stopRefused' });
      onError(`The stream could not be stopped: ${messageOf(err)}`);
    }
  }, [onError]);

  const dismiss = useCallback(() => dispatch({ type: 'dismissed' }), []);

  return { state, start, retry, stop, dismiss };
}

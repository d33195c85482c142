import { type FormEvent, useId, useState } from 'react';
import { streamName, watchPath } from '../routes';
import { clock, timeOfDay } from '../time';
import { Button, Spinner } from '../ui/Button';
import { CopyButton } from '../ui/CopyButton';
import { LiveBadge } from '../ui/LiveBadge';
import { BroadcastIcon, ChevronIcon, PlayIcon, StopIcon, WarningIcon } from '../ui/icons';
import { useNow } from '../ui/useNow';
import { type StreamState, isUncertain } from './state';
import styles from './StreamControl.module.css';
import type { Stream } from './useStream';

// StreamControl starts, stops and tells of the meeting's stream.
export function StreamControl({ stream }: { stream: Stream }) {
  const { state } = stream;
  const uncertain = isUncertain(state);
  return (
    <div className={styles.control} role="group" aria-label="Stream" data-testid="stream-state" data-state={uncertain ? 'unknown' : state.phase}>
      {uncertain ? <Unknown /> : <Known stream={stream} />}
    </div>
  );
}

function Known({ stream }: { stream: Stream }) {
  const { state, start, retry, stop, dismiss } = stream;
  switch (state.phase) {
    case 'offline':
      return <Offline onStart={start} />;
    case 'starting':
      return state.cause ? <Interrupted state={state} onStop={stop} /> : <Starting state={state} onStop={stop} />;
    case 'live':
      return <Live state={state} onStop={stop} />;
    case 'stopping':
      return (
        <span className={styles.status} role="status">
          <Spinner /> Stopping the stream…
        </span>
      );
    case 'failed':
      return <Failed state={state} onRetry={retry} onDismiss={dismiss} />;
  }
}

function Offline({ onStart }: { onStart: (target: string) => void }) {
  const [advanced, setAdvanced] = useState(false);
  const [target, setTarget] = useState('');
  const panel = useId();
  const field = useId();

  const submit = (event: FormEvent) => {
    event.preventDefault();
    onStart(target);
  };

  return (
    <form className={styles.offline} onSubmit={submit}>
      <span className={styles.split}>
        <Button type="submit" look="primary" className={styles.start} data-testid="stream-start">
          <BroadcastIcon />
          Start stream
        </Button>
        <button
          type="button"
          className={styles.more}
          aria-label="Advanced stream settings"
          title="Advanced stream settings"
          aria-expanded={advanced}
          aria-controls={advanced ? panel : undefined}
          data-testid="stream-advanced"
          onClick={() => setAdvanced(!advanced)}
        >
          <ChevronIcon />
        </button>
      </span>
      {advanced && (
        <div className={styles.panel} id={panel}>
          <label htmlFor={field}>Send it somewhere else</label>
          <p>
            Left empty, the stream plays on this site. Otherwise it goes to the RTMP or RTMPS address given here, with its
            stream key at the end.
          </p>
          <input
            id={field}
            value={target}
            onChange={(event) => setTarget(event.target.value)}
            placeholder="rtmps://host/app/stream-key"
            pattern="rtmps?://.+/.+"
            title="An address that begins with rtmp:// or rtmps://"
            autoComplete="off"
            spellCheck={false}
            data-testid="stream-target"
          />
        </div>
      )}
    </form>
  );
}

function Starting({ state, onStop }: { state: StreamState; onStop: () => void }) {
  const now = useNow(1000);
  const waited = Math.max(0, Math.floor((now - (state.since ?? now)) / 1000));
  return (
    <>
      <span className={styles.status} role="status">
        <Spinner /> Starting the stream…
      </span>
      <span className={styles.elapsed} aria-hidden="true">
        {waited} s
      </span>
      {state.pipelineId && (
        <Button onClick={onStop} data-testid="stream-stop">
          Cancel
        </Button>
      )}
      <span className={styles.progress} aria-hidden="true" />
    </>
  );
}

function Live({ state, onStop }: { state: StreamState; onStop: () => void }) {
  const now = useNow(500);
  const started = state.startedAt ? new Date(state.startedAt) : undefined;
  const name = streamName(state.playbackUrl);
  return (
    <>
      <span className={styles.live}>
        <LiveBadge />
        {started && (
          <span className={styles.clock}>
            <span role="timer" aria-label="Live for">
              {clock(now - started.getTime())}
            </span>
            <span className={styles.since}>since {timeOfDay(started)}</span>
          </span>
        )}
      </span>
      {name && (
        <>
          <a className={styles.watch} href={watchPath(name)} target="_blank" rel="noreferrer" data-testid="watch-link">
            <PlayIcon /> Watch
          </a>
          <CopyButton text={location.origin + watchPath(name)} label="Copy link" compact testId="watch-copy" />
        </>
      )}
      <Button className={styles.stop} onClick={onStop} data-testid="stream-stop">
        <StopIcon />
        <span>
          Stop<span className={styles.wide}> stream</span>
        </span>
      </Button>
    </>
  );
}

function Interrupted({ state, onStop }: { state: StreamState; onStop: () => void }) {
  return (
    <>
      <span className={styles.failed} role="alert">
        <WarningIcon />
        <span>
          <b>Stream interrupted:</b> {state.cause}
        </span>
      </span>
      <Button className={styles.stop} onClick={onStop} data-testid="stream-stop">
        Stop stream
      </Button>
      <span className={styles.progress} aria-hidden="true" />
    </>
  );
}

interface FailedProps {
  state: StreamState;
  onRetry: () => void;
  onDismiss: () => void;
}

function Failed({ state, onRetry, onDismiss }: FailedProps) {
  return (
    <>
      <span className={styles.failed} role="alert">
        <WarningIcon />
        <span>
          <b>Stream failed:</b> {state.cause}
        </span>
      </span>
      <Button onClick={onRetry} data-testid="stream-start">
        Try again
      </Button>
      <Button look="quiet" onClick={onDismiss} data-testid="stream-dismiss">
        Dismiss
      </Button>
    </>
  );
}

function Unknown() {
  return (
    <span className={styles.failed} role="status">
      <WarningIcon />
      <span>No word from the server: how the stream is doing is not known.</span>
    </span>
  );
}

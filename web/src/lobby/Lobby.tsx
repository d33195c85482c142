import { type FormEvent, useState } from 'react';
import { Banner } from '../ui/Banner';
import { Wordmark } from '../ui/Bell';
import { Button } from '../ui/Button';
import { DevicePicker } from './DevicePicker';
import type { Choices } from './devices';
import styles from './Lobby.module.css';
import { Preview } from './Preview';
import { useDevices } from './useDevices';

const nameKey = 'belfry.name';
const longestName = 40;

interface Props {
  // Whether the person comes back to a meeting this page was in.
  back: boolean;
  joining: boolean;
  error: string | undefined;
  onDismissError: () => void;
  onJoin: (name: string, choices: Choices) => void;
  onForget: () => void;
}

export function Lobby({ back, joining, error, onDismissError, onJoin, onForget }: Props) {
  const [devices, store] = useDevices();
  const [name, setName] = useState(() => localStorage.getItem(nameKey) ?? '');

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const trimmed = name.trim();
    localStorage.setItem(nameKey, trimmed);
    onJoin(trimmed, store.choices());
  };

  return (
    <div className={styles.page}>
      <header className={styles.header}>
        <Wordmark />
      </header>
      <main className={styles.main}>
        <section className={styles.words}>
          <h1>{back ? 'Come back in' : 'Meet here. Be heard everywhere.'}</h1>
          <p>
            {back
              ? 'Your place in the meeting is kept. Check your camera and microphone, then rejoin.'
              : 'Talk face to face in the browser, then stream the meeting live to everybody else with one press.'}
          </p>
        </section>

        <section className={styles.preview} aria-label="Camera and microphone">
          <Preview devices={devices} store={store} name={name} />
        </section>

        <form className={styles.form} onSubmit={submit}>
          {error && (
            <Banner tone="error" testId="error-banner" onDismiss={onDismissError}>
              {error}
            </Banner>
          )}
          {!back && (
            <label className={styles.field}>
              <span>
                Your name <small>optional</small>
              </span>
              <input
                value={name}
                maxLength={longestName}
                onChange={(event) => setName(event.target.value)}
                placeholder="What others call you"
                autoComplete="name"
                data-testid="name-input"
              />
            </label>
          )}
          <Button type="submit" look="primary" size="large" busy={joining} className={styles.join} data-testid="join-button">
            {joining ? 'Joining…' : back ? 'Rejoin the meeting' : 'Join a meeting'}
          </Button>
          {back && (
            <Button look="quiet" onClick={onForget}>
              Go to another meeting instead
            </Button>
          )}
          <DevicePicker devices={devices} store={store} />
        </form>
      </main>
    </div>
  );
}

import type { ReactNode } from 'react';
import styles from './Banner.module.css';
import { CloseIcon, WarningIcon } from './icons';

interface Props {
  tone: 'error' | 'notice';
  testId: string;
  children: ReactNode;
  onDismiss?: () => void;
}

// Banner says what is wrong, aloud to screen readers: errors at once, notices
// when the reader pauses.
export function Banner({ tone, testId, children, onDismiss }: Props) {
  return (
    <div className={`${styles.banner} ${styles[tone]}`} role={tone === 'error' ? 'alert' : 'status'} data-testid={testId}>
      <WarningIcon />
      <p>{children}</p>
      {onDismiss && (
        <button type="button" className={styles.close} aria-label="Dismiss" onClick={onDismiss}>
          <CloseIcon />
        </button>
      )}
    </div>
  );
}

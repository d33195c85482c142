import type { ButtonHTMLAttributes } from 'react';
import styles from './Button.module.css';

type Look = 'primary' | 'plain' | 'danger' | 'quiet';

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: Look;
  size?: 'small' | 'large';
  busy?: boolean;
}

// Button is every button with words. A busy one keeps its place and its focus
// but does nothing.
export function Button({ look = 'plain', size = 'small', busy = false, onClick, children, className = '', ...rest }: Props) {
  return (
    <button
      type="button"
      className={`${styles.button} ${styles[look]} ${styles[size]} ${className}`}
      aria-busy={busy || undefined}
      aria-disabled={busy || undefined}
      onClick={busy ? (event) => event.preventDefault() : onClick}
      {...rest}
    >
      {busy && <span className={styles.spinner} aria-hidden="true" />}
      {children}
    </button>
  );
}

export function Spinner() {
  return <span className={styles.spinner} aria-hidden="true" />;
}

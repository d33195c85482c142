import styles from './Bell.module.css';

// Bell is the mark of the site: a bell in the arch of its tower. It is an
// ornament: the word beside it names it.
export function Bell({ size = 30 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" fill="none" aria-hidden="true">
      <path
        d="M5 29V14a11 11 0 0 1 22 0v15M2.5 29h27"
        stroke="var(--accent)"
        strokeWidth="2"
        strokeLinecap="round"
        strokeLinejoin="round"
        opacity="0.5"
      />
      <path
        d="M16 8.2a1.2 1.2 0 0 1 1.2 1.2v.5a5 5 0 0 1 3.8 4.9c0 3 .5 4.6 1.7 6 .4.5.1 1.3-.6 1.3H9.9c-.7 0-1-.8-.6-1.3 1.2-1.4 1.7-3 1.7-6a5 5 0 0 1 3.8-4.9v-.5A1.2 1.2 0 0 1 16 8.2z"
        fill="var(--accent)"
      />
      <circle cx="16" cy="24.8" r="1.7" fill="var(--accent)" />
    </svg>
  );
}

export function Wordmark() {
  return (
    <span className={styles.wordmark}>
      <Bell />
      <span>Belfry</span>
    </span>
  );
}

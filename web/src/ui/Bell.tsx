import styles from './Bell.module.css';

// Bell is the mark of the site. It is an ornament: the word beside it names it.
export function Bell({ size = 28 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" fill="none" aria-hidden="true">
      <g stroke="var(--accent)" strokeWidth="2.2" strokeLinecap="round" strokeLinejoin="round">
        <path d="M16 4v2.4M7.4 21.8c1.9-1.9 2.5-4.2 2.5-7.6a6.1 6.1 0 0 1 12.2 0c0 3.4.6 5.7 2.5 7.6z" />
        <path d="M4.2 12.6a13 13 0 0 1 2-5.4M27.8 12.6a13 13 0 0 0-2-5.4" opacity="0.55" />
      </g>
      <circle cx="16" cy="26.4" r="2.1" fill="var(--accent)" />
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

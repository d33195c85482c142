import styles from './LiveBadge.module.css';

// LiveBadge is shown while a stream is live and at no other time.
export function LiveBadge() {
  return (
    <span className={styles.badge}>
      <span className={styles.dot} aria-hidden="true" />
      LIVE
    </span>
  );
}

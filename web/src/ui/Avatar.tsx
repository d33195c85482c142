import { hue, initials } from '../names';
import styles from './Avatar.module.css';

interface Props {
  name: string;
  // Gives the colour: the same person has the same one everywhere.
  id: string;
  size: string;
}

export function Avatar({ name, id, size }: Props) {
  // Nobody in particular has no colour.
  const style = { '--hue': hue(id), '--chroma': id ? 0.075 : 0.02, '--size': size } as React.CSSProperties;
  return (
    <span className={styles.avatar} style={style} aria-hidden="true">
      {name.trim() ? initials(name) : <Silhouette />}
    </span>
  );
}

function Silhouette() {
  return (
    <svg viewBox="0 0 24 24" width="55%" height="55%" fill="currentColor">
      <circle cx="12" cy="8.5" r="4" />
      <path d="M4 20.5a8 8 0 0 1 16 0z" />
    </svg>
  );
}

import { useSize } from '../ui/useSize';
import { bestGrid } from './grid';
import { Share } from './Share';
import styles from './Stage.module.css';
import { Tile } from './Tile';
import type { Participant } from './useParticipants';
import { useShared } from './useShare';

const gap = 12;

// Stage shows everybody; a shared screen takes most of it.
export function Stage({ participants }: { participants: Participant[] }) {
  const shared = useShared();
  return (
    <div className={styles.stage} style={{ gap }}>
      {shared && <Share key={shared.tileId} shared={shared} participants={participants} />}
      <Pictures participants={participants} />
    </div>
  );
}

function Pictures({ participants }: { participants: Participant[] }) {
  const [ref, size] = useSize<HTMLUListElement>();
  const grid = bestGrid(size.width, size.height, participants.length, gap);
  const style = {
    gap,
    gridTemplateColumns: `repeat(${grid.columns * 2}, ${(grid.width - gap) / 2}px)`,
    gridAutoRows: `${grid.height}px`,
  };
  const rest = participants.length % grid.columns;
  const firstOfRest = rest ? participants.length - rest : -1;
  return (
    <ul className={styles.pictures} style={style} ref={ref} aria-label="Pictures">
      {participants.map((p, i) => (
        // A last row that is not full is pushed to the middle by half tiles.
        <li key={p.id} style={{ gridColumn: i === firstOfRest ? `${grid.columns - rest + 1} / span 2` : 'span 2' }}>
          {grid.width > 0 && <Tile participant={p} />}
        </li>
      ))}
    </ul>
  );
}

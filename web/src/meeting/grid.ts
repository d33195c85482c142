export interface Grid {
  columns: number;
  // Of one tile, in CSS pixels.
  width: number;
  height: number;
}

const widest = 16 / 9;

// bestGrid finds the number of columns that shows count tiles largest in a
// width by height area with gaps between them. A tile is never wider than
// 16:9; it may be cut narrower, and in an upright area stand upright itself.
export function bestGrid(width: number, height: number, count: number, gap: number): Grid {
  const narrowest = height > width ? 3 / 4 : 4 / 3;
  let best: Grid = { columns: 1, width: 0, height: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    let w = (width - gap * (columns - 1)) / columns;
    let h = (height - gap * (rows - 1)) / rows;
    w = Math.min(w, h * widest);
    h = Math.min(h, w / narrowest);
    if (w > 0 && h > 0 && w * h > best.width * best.height) {
      best = { columns, width: Math.floor(w), height: Math.floor(h) };
    }
  }
  return best;
}

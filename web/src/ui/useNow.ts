import { useEffect, useState } from 'react';

// useNow gives the time in milliseconds since 1970, anew every period, for
// clocks that run on the page.
export function useNow(periodMs: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), periodMs);
    return () => clearInterval(timer);
  }, [periodMs]);
  return now;
}

import { useEffect, useRef } from 'react';
import styles from './LevelMeter.module.css';

const bars = 12;
// What the meter covers: silence below, full scale above, in dBFS.
const quietest = -54;
const loudest = -6;

// LevelMeter shows how loud the microphone is, so that one can see that it hears.
export function LevelMeter({ track }: { track: MediaStreamTrack | undefined }) {
  const meter = useRef<HTMLDivElement>(null);

  useEffect(() => {
    if (!track) {
      return undefined;
    }
    const audio = new AudioContext();
    const analyser = new AnalyserNode(audio, { fftSize: 1024 });
    audio.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    // Some browsers keep audio asleep until the person has touched the page.
    const wake = () => void audio.resume();
    document.addEventListener('pointerdown', wake);
    document.addEventListener('keydown', wake);

    let shown = 0;
    let frame = requestAnimationFrame(function draw() {
      analyser.getFloatTimeDomainData(samples);
      const level = position(samples);
      shown = Math.max(level, shown - 0.03);
      meter.current?.style.setProperty('--level', String(Math.round(shown * bars)));
      frame = requestAnimationFrame(draw);
    });
    return () => {
      cancelAnimationFrame(frame);
      document.removeEventListener('pointerdown', wake);
      document.removeEventListener('keydown', wake);
      void audio.close();
    };
  }, [track]);

  return (
    <div className={styles.meter} ref={meter} role="img" aria-label="Microphone level" data-testid="mic-level">
      {Array.from({ length: bars }, (_, i) => (
        <i key={i} style={{ '--at': i } as React.CSSProperties} />
      ))}
    </div>
  );
}

// position maps the loudness of samples to the meter, 0 to 1.
function position(samples: Float32Array): number {
  let sum = 0;
  for (const s of samples) {
    sum += s * s;
  }
  const db = 10 * Math.log10(sum / samples.length + 1e-12);
  return Math.min(1, Math.max(0, (db - quietest) / (loudest - quietest)));
}

// ring strikes a bell through the chosen speakers: a fundamental with the
// partials of a small bell, dying away within two seconds.
export async function ring(speakerId: string | undefined): Promise<void> {
  const audio = new AudioContext();
  const sink = audio as AudioContext & { setSinkId?: (id: string) => Promise<void> };
  if (speakerId && speakerId !== 'default' && sink.setSinkId) {
    await sink.setSinkId(speakerId);
  }
  await audio.resume();
  const partials = [
    { ratio: 1, level: 0.24, seconds: 1.9 },
    { ratio: 2, level: 0.16, seconds: 1.3 },
    { ratio: 2.4, level: 0.1, seconds: 1 },
    { ratio: 3, level: 0.07, seconds: 0.7 },
    { ratio: 4.1, level: 0.04, seconds: 0.4 },
  ];
  const start = audio.currentTime + 0.05;
  for (const { ratio, level, seconds } of partials) {
    const tone = new OscillatorNode(audio, { frequency: 523.25 * ratio });
    const gain = new GainNode(audio, { gain: 0 });
    gain.gain.setValueAtTime(0, start);
    gain.gain.linearRampToValueAtTime(level, start + 0.004);
    gain.gain.exponentialRampToValueAtTime(0.0001, start + seconds);
    tone.connect(gain).connect(audio.destination);
    tone.start(start);
    tone.stop(start + seconds);
  }
  await new Promise((done) => setTimeout(done, 2100));
  await audio.close();
}

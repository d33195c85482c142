// Cameras and microphones whose picture and sound are made in the page, so
// that both are known to begin at the same moment. Only the devices are
// replaced; capture, encoding and everything after are the browser's.

// flashAndBeep gives every page of the context a camera that turns white, and
// a microphone that beeps, together and for 100 ms, every 2 seconds.
export function flashAndBeep(context) {
  return context.addInitScript(() => {
    const PERIOD = 2;
    const LENGTH = 0.1;
    let audio;
    const clock = () => (audio ??= new AudioContext({ sampleRate: 48000 }));

    function camera() {
      const canvas = document.createElement('canvas');
      canvas.width = 640;
      canvas.height = 360;
      const picture = canvas.getContext('2d', { alpha: false });
      setInterval(() => {
        picture.fillStyle = clock().currentTime % PERIOD < LENGTH ? '#fff' : '#000';
        picture.fillRect(0, 0, 640, 360);
      }, 1000 / 60);
      return canvas.captureStream(30).getVideoTracks();
    }

    function microphone() {
      const out = clock().createMediaStreamDestination();
      const tone = new OscillatorNode(clock(), { frequency: 1000 });
      const gate = new GainNode(clock(), { gain: 0 });
      tone.connect(gate).connect(out);
      tone.start();
      let next = Math.ceil(clock().currentTime / PERIOD) * PERIOD;
      setInterval(() => {
        while (next < clock().currentTime + 1) {
          gate.gain.setValueAtTime(0.5, next);
          gate.gain.setValueAtTime(0, next + LENGTH);
          next += PERIOD;
        }
      }, 200);
      return out.stream.getAudioTracks();
    }

    navigator.mediaDevices.getUserMedia = async ({ audio, video }) => {
      await clock().resume();
      return new MediaStream([...(audio ? microphone() : []), ...(video ? camera() : [])]);
    };
  });
}

// TIME_BITS blocks across the middle of the picture say when it was drawn, in
// milliseconds modulo 2^TIME_BITS, least significant bit left.
export const TIME_BITS = 16;

// burnedTime gives every page of the context a camera whose picture shows the
// time.
export function burnedTime(context) {
  return context.addInitScript((bits) => {
    const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      if (!wanted.video) return real(wanted);
      const canvas = document.createElement('canvas');
      canvas.width = 640;
      canvas.height = 360;
      const picture = canvas.getContext('2d', { alpha: false });
      setInterval(() => {
        const now = Date.now();
        picture.fillStyle = '#777';
        picture.fillRect(0, 0, 640, 360);
        for (let i = 0; i < bits; i++) {
          picture.fillStyle = (now >> i) & 1 ? '#fff' : '#000';
          picture.fillRect((640 / bits) * i, 120, 640 / bits, 120);
        }
      }, 1000 / 60);
      const tracks = canvas.captureStream(30).getVideoTracks();
      if (wanted.audio) tracks.push(...(await real({ audio: wanted.audio })).getAudioTracks());
      return new MediaStream(tracks);
    };
  }, TIME_BITS);
}

// readTimes watches a video that shows a burnedTime camera alone, and returns
// how old its pictures were when they were shown, in milliseconds.
export function readTimes(page, selector, count) {
  return page.evaluate(async ([selector, count, bits]) => {
    const video = document.querySelector(selector);
    const canvas = new OffscreenCanvas(bits * 8, 8);
    const picture = canvas.getContext('2d', { willReadFrequently: true });
    const ages = [];
    while (ages.length < count) {
      await new Promise((shown) => video.requestVideoFrameCallback(shown));
      const now = Date.now();
      picture.drawImage(video, 0, video.videoHeight * 0.45, video.videoWidth, video.videoHeight * 0.1, 0, 0, bits * 8, 8);
      const { data } = picture.getImageData(0, 0, bits * 8, 8);
      let time = 0;
      let clear = true;
      for (let i = 0; i < bits; i++) {
        const level = data[4 * (4 * bits * 8 + i * 8 + 4)];
        if (level > 80 && level < 175) clear = false; // two pictures in one, or none
        if (level >= 128) time |= 1 << i;
      }
      if (clear) ages.push((now - time) & ((1 << bits) - 1));
    }
    return ages;
  }, [selector, count, TIME_BITS]);
}

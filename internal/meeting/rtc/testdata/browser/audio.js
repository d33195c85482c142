import {Attendee, play, post, until} from './attendee.js';

// The edit of the Chime client for stereo music, in offer and answer.
const stereo = (sdp) => {
  const [, type] = sdp.match(/^a=rtpmap:(\d+) opus\/48000/m);
  return sdp.replace(new RegExp(`^(a=fmtp:${type} .*?)(;(stereo|sprop-stereo|maxaveragebitrate)=.*)?\r$`, 'm'),
      '$1;stereo=1;sprop-stereo=1;maxaveragebitrate=128000\r');
};

// Redundant audio fills the gaps of a bad network; stereo is agreed on.
play(async (results) => {
  const media = () => navigator.mediaDevices.getUserMedia({
    audio: {channelCount: 2, echoCancellation: false, noiseSuppression: false, autoGainControl: false}, video: true,
  });
  const alice = new Attendee('alice');
  await alice.join(await media(), {red: true, edit: stereo});
  results.params = alice.answer.match(/^a=fmtp:\d+ minptime.*$/m)[0].trim();

  await post('/lossy', {on: true});
  const outbound = async () => {
    const stats = await alice.pc.getStats();
    const list = [...stats.values()];
    const rtp = list.find((s) => s.type === 'outbound-rtp' && s.kind === 'audio');
    const codec = stats.get(rtp.codecId) || {};
    const remote = list.find((s) => s.type === 'remote-inbound-rtp' && s.kind === 'audio') || {};
    return {codec: codec.mimeType, channels: codec.channels, sent: rtp.packetsSent, lost: remote.packetsLost, rtt: remote.roundTripTime};
  };
  await until('recovered audio', async () => {
    results.server = await post('/stats', {name: 'alice'});
    return results.server.AudioRecovered >= 10;
  });
  await until('reports of the loss', async () => (results.out = await outbound()).lost >= 10);
  // Having reported that, it gets the mix with copies of the frames before:
  // most of them it does not need, and those of lost ones it plays.
  const inbound = async () => {
    const list = [...(await alice.mic.receiver.getStats()).values()];
    const rtp = list.find((s) => s.type === 'inbound-rtp');
    return {copies: rtp.packetsDiscarded, lost: rtp.packetsLost, concealed: rtp.concealedSamples / 960};
  };
  let before = {};
  await until('copies of the mix', async () => (before = await inbound()).copies >= 20);
  await until('losses of the mix', async () => {
    const now = await inbound();
    results.in = {copies: now.copies - before.copies, lost: now.lost - before.lost, concealed: now.concealed - before.concealed};
    return results.in.lost >= 15;
  });
  await post('/lossy', {on: false});
});

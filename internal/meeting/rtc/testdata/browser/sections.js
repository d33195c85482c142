import {Attendee, decodes, play, post, until} from './attendee.js';

// Camera on, watched, off, and on in another codec; a section is recycled.
play(async (results) => {
  const media = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 640, height: 360}});
  const alice = new Attendee('alice'), bob = new Attendee('bob');
  await alice.join(media);
  await bob.join(await navigator.mediaDevices.getUserMedia({audio: true, video: true}));

  await alice.publish(true, 'video/VP8');
  await post('/published', {name: 'alice'});
  let t = await bob.watch(alice);
  results.VP8 = await decodes(bob, t, 'VP8');

  await alice.publish(false);
  await bob.unwatch(t);
  await alice.publish(true, 'video/H264');
  await post('/published', {name: 'alice'});
  t = await bob.watch(alice);
  results.H264 = await decodes(bob, t, 'H264');
  results.sections = bob.pc.localDescription.sdp.match(/^m=/gm).length;

  await until('audio', async () => {
    const stats = [...(await bob.mic.receiver.getStats()).values()];
    return stats.some((s) => s.type === 'inbound-rtp' && s.packetsReceived > 50);
  });
  const transport = [...(await bob.pc.getStats()).values()].find((s) => s.type === 'transport');
  results.srtp = transport.srtpCipher;
  const up = [...(await alice.pc.getStats()).values()];
  results.remoteInbound = up.filter((s) => s.type === 'remote-inbound-rtp').map((s) => s.kind).sort();
});

import {Attendee, decodes, play, post, until} from './attendee.js';

// Camera on, watched, off, and on in another codec, on a network that loses
// packets. Sections are recycled.
play(async (results) => {
  const media = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 640, height: 360}});
  const alice = new Attendee('alice'), bob = new Attendee('bob');
  await alice.join(media);
  await bob.join(await navigator.mediaDevices.getUserMedia({audio: true, video: true}));
  for (const codec of ['VP8', 'VP9', 'AV1']) {
    await alice.publish(true, 'video/' + codec);
    await post('/published', {name: 'alice'});
    const t = await bob.watch(alice);
    const r = results[codec] = await decodes(bob, t, codec);
    await post('/lossy', {on: true});
    r.lossy = await decodes(bob, t, codec + ' in spite of loss', 40);
    await post('/lossy', {on: false});
    await alice.publish(false);
    await bob.unwatch(t);
  }
  results.sections = bob.pc.localDescription.sdp.match(/^m=/gm).length;
  for (const a of [alice, bob]) {
    await until('audio of ' + a.name, async () => {
      const stats = [...(await a.mic.receiver.getStats()).values()];
      return stats.some((s) => s.type === 'inbound-rtp' && s.packetsReceived > 50);
    });
  }
  results.server = await post('/stats', {name: 'alice'});
  await until('receiver reports', async () => {
    const up = [...(await alice.pc.getStats()).values()];
    results.remoteInbound = up.filter((s) => s.type === 'remote-inbound-rtp').map((s) => s.kind);
    return results.remoteInbound.includes('audio');
  });
});

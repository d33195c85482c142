import {Attendee, decodes, play, post, until} from './attendee.js';

const descriptor = 'dependency-descriptor';
const cases = [
  {label: 'VP9', codec: 'video/VP9', mode: 'L3T3', width: 960, small: 240},
  {label: 'AV1', codec: 'video/AV1', mode: 'L1T3', width: 640, thin: true},
  {label: 'AV1described', codec: 'video/AV1', mode: 'L1T3', width: 640, thin: true, watch: [descriptor]},
  {label: 'H264', codec: 'video/H264', width: 640},
];

// The camera in every codec, with scalability layers, on a network that loses
// packets.
play(async (results) => {
  const bob = new Attendee('bob');
  await bob.join(await navigator.mediaDevices.getUserMedia({audio: true}));
  for (const c of cases) {
    const media = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: c.width, height: c.width * 9 / 16, frameRate: 15}});
    const alice = new Attendee('alice' + c.label);
    await alice.join(media, {extensions: [descriptor, 'video-layers-allocation']});
    await alice.publish(true, c.codec);
    if (c.mode) await alice.encodings((e) => { e.scalabilityMode = c.mode; e.maxBitrate = 800_000; });
    await post('/published', {name: alice.name});
    const t = await bob.watch(alice, c.watch);
    const r = results[c.label] = await decodes(bob, t, c.label);
    if (c.mode) {
      await until('layers of ' + c.label, async () => {
        const [l] = await alice.layers();
        r.layers = l ? l.layers : [];
        return r.layers.length >= (c.small ? 9 : 3);
      });
    }
    if (c.small) {
      await until('the whole picture of ' + c.label, async () => (await bob.video(t)).width === c.width);
      await post('/target', {name: 'bob', mid: t.mid, of: alice.name, spatial: 0, temporal: 7});
      await until('the small picture of ' + c.label, async () => (await bob.video(t)).width === c.small);
      r.small = await decodes(bob, t, 'the lowest layer of ' + c.label);
      await post('/target', {name: 'bob', mid: t.mid, of: alice.name, spatial: 7, temporal: 0});
      await until('the whole picture of ' + c.label + ' again', async () => (await bob.video(t)).width === c.width);
      await post('/target', {name: 'bob', mid: t.mid, of: alice.name, spatial: 7, temporal: 7});
    }
    if (c.thin) {
      await post('/target', {name: 'bob', mid: t.mid, of: alice.name, spatial: 7, temporal: 0});
      r.thin = await decodes(bob, t, 'the lowest layer of ' + c.label);
      await post('/target', {name: 'bob', mid: t.mid, of: alice.name, spatial: 7, temporal: 7});
    }
    await post('/lossy', {on: true});
    r.lossy = await decodes(bob, t, c.label + ' in spite of loss', 40);
    await post('/lossy', {on: false});
    await alice.publish(false);
    await bob.unwatch(t);
    alice.pc.close();
    media.getTracks().forEach((track) => track.stop());
  }
});

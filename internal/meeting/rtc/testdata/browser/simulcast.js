import {Attendee, decodes, play, post, until} from './attendee.js';

const scales = {low: 4, mid: 2, hi: 1};
const width = 960;

// Three encodings of one camera arrive, each is watched, one is paused, the
// camera is switched off and on, and packets get lost.
play(async (results) => {
  const media = await navigator.mediaDevices.getUserMedia({audio: true, video: {width, height: 540, frameRate: 15}});
  const alice = new Attendee('alice'), bob = new Attendee('bob');
  await alice.join(media, {
    encodings: [
      {rid: 'low', scaleResolutionDownBy: 4, maxBitrate: 200_000},
      {rid: 'mid', scaleResolutionDownBy: 2, maxBitrate: 400_000},
      {rid: 'hi', scaleResolutionDownBy: 1, maxBitrate: 900_000},
    ],
    extensions: ['dependency-descriptor', 'video-layers-allocation'],
  });
  await bob.join(await navigator.mediaDevices.getUserMedia({audio: true, video: true}));

  const active = async (...rids) => {
    const list = await alice.layers();
    return Object.keys(scales).every((rid) => {
      const l = list.find((l) => l.rid === rid);
      return rids.includes(rid) ? l && l.active && l.width === width / scales[rid] : !l || !l.active;
    });
  };
  const shows = async (t, rid) => {
    await post('/target', {name: 'bob', mid: t.mid, of: 'alice', rid});
    await until('picture of ' + rid, async () => (await bob.video(t)).width === width / scales[rid]);
    return decodes(bob, t, 'frames of ' + rid);
  };

  await alice.publish(true);
  await until('three layers', () => active('low', 'mid', 'hi'));
  const t = await bob.watch(alice);
  for (const rid of ['low', 'mid', 'hi']) results[rid] = await shows(t, rid);
  results.started = (await alice.layers()).length;

  await alice.encodings((e) => { e.active = e.rid !== 'mid'; });
  await until('mid paused', () => active('low', 'hi'));
  results.paused = (await alice.layers()).length;
  await alice.encodings((e) => { e.active = true; });
  await until('mid resumed', () => active('low', 'mid', 'hi'));

  // The browser names its streams no more: the server knows them.
  await alice.publish(false);
  await until('end of the layers', async () => (await alice.layers()).length === 0);
  await alice.publish(true);
  await until('three layers again', () => active('low', 'mid', 'hi'));
  results.again = {};
  for (const rid of ['hi', 'low']) results.again[rid] = await shows(t, rid);

  await post('/lossy', {on: true});
  results.lossy = {};
  for (const rid of ['mid', 'hi']) results.lossy[rid] = await shows(t, rid);
  await decodes(bob, t, 'frames in spite of loss', 60);
  results.lossy.end = await bob.video(t);
  results.lossy.up = [...(await alice.pc.getStats()).values()]
      .filter((s) => s.type === 'outbound-rtp' && s.kind === 'video')
      .map((s) => ({rid: s.rid, nacks: s.nackCount, resent: s.retransmittedPacketsSent, plis: s.pliCount}));
  await post('/lossy', {on: false});

  // A limit holds for all layers together.
  await post('/limit', {name: 'alice', bps: 250_000});
  await until('the limit in force', async () => {
    const pair = [...(await alice.pc.getStats()).values()].find((s) => s.type === 'candidate-pair' && s.nominated);
    results.limited = pair.availableOutgoingBitrate;
    return results.limited <= 250_000;
  });
  await post('/limit', {name: 'alice', bps: 0});
  await until('the limit gone', async () => {
    const pair = [...(await alice.pc.getStats()).values()].find((s) => s.type === 'candidate-pair' && s.nominated);
    results.freed = pair.availableOutgoingBitrate;
    return results.freed > 300_000;
  });
});

// Attendees in one page. Sections and steps are those of the Chime client:
// audio, the own camera, then one section per video watched; the client always
// offers and candidates travel inside.

export class Attendee {
  constructor(name) {
    this.name = name;
    this.pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
    this.streams = {};
    this.pc.ontrack = (e) => {
      const stream = e.streams[0];
      this.streams[e.transceiver.mid] = stream ? stream.id : '';
      const element = document.createElement(e.track.kind);
      element.muted = true;
      element.autoplay = true;
      element.srcObject = new MediaStream([e.track]);
      document.body.append(element);
    };
  }

  // join takes, besides the media, the encodings of a simulcast camera, the
  // header extensions to add to it, whether redundant audio comes first, and
  // how to change offers.
  async join(media, {encodings, extensions = [], red = false, edit = (sdp) => sdp} = {}) {
    this.edit = edit;
    this.mic = this.pc.addTransceiver(media.getAudioTracks()[0], {direction: 'sendrecv', streams: [media]});
    if (red) {
      const all = RTCRtpSender.getCapabilities('audio').codecs;
      const first = all.filter((c) => c.mimeType === 'audio/red');
      this.mic.setCodecPreferences([...first, ...all.filter((c) => !first.includes(c))]);
    }
    this.camera = this.pc.addTransceiver('video', {direction: 'inactive', streams: [media], ...(encodings && {sendEncodings: encodings})});
    extend(this.camera, extensions);
    this.cameraTrack = media.getVideoTracks()[0];
    await this.negotiate();
    await until('ICE of ' + this.name, () => ['connected', 'completed'].includes(this.pc.iceConnectionState));
    await until('DTLS of ' + this.name, () => this.pc.connectionState === 'connected');
  }

  async publish(on, codec) {
    await this.camera.sender.replaceTrack(on ? this.cameraTrack : null);
    this.camera.direction = on ? 'sendrecv' : 'inactive';
    if (codec) {
      const all = RTCRtpSender.getCapabilities('video').codecs;
      const main = (c) => !c.sdpFmtpLine || /packetization-mode=1;profile-level-id=42e0|profile-id=0|profile=0|^max-fs/.test(c.sdpFmtpLine);
      const first = all.filter((c) => c.mimeType === codec && main(c));
      this.camera.setCodecPreferences([...first, ...all.filter((c) => !first.includes(c))]);
    }
    this.publishing = on;
    await this.negotiate();
  }

  // layers changes the encodings that are sent.
  async encodings(change) {
    const p = this.camera.sender.getParameters();
    p.encodings.forEach(change);
    await this.camera.sender.setParameters(p);
  }

  // watch returns the transceiver that receives the camera of another.
  async watch(other, extensions = []) {
    const t = this.pc.addTransceiver('video', {direction: 'recvonly'});
    extend(t, extensions);
    t.watching = other.name;
    await this.negotiate();
    return t;
  }

  async unwatch(t) {
    t.stop();
    await this.negotiate();
  }

  async negotiate() {
    const offer = await this.pc.createOffer();
    await this.pc.setLocalDescription({type: 'offer', sdp: this.edit(offer.sdp)});
    await until('gathering of ' + this.name, () => this.pc.iceGatheringState === 'complete');
    const sdp = this.pc.localDescription.sdp;
    const mids = [...sdp.matchAll(/^m=video[^]*?^a=mid:(\S+)/gm)].map((m) => m[1]);
    const receive = mids.map((mid) => {
      const t = this.pc.getTransceivers().find((t) => t.mid === mid);
      return t && t.watching && t.direction === 'recvonly' ? t.watching : '';
    });
    const answer = await post('/offer', {name: this.name, sdp, publish: !!this.publishing, receive});
    await this.pc.setRemoteDescription({type: 'answer', sdp: this.edit(answer.sdp)});
    this.tracks = answer.tracks;
    this.answer = answer.sdp;
  }

  async video(t) {
    const report = [...(await t.receiver.getStats()).values()];
    const rtp = report.find((s) => s.type === 'inbound-rtp') || {};
    const codec = report.find((s) => s.id === rtp.codecId) || {};
    return {
      frames: rtp.framesDecoded || 0, width: rtp.frameWidth, codec: codec.mimeType, ssrc: rtp.ssrc, mid: t.mid,
      stream: this.streams[t.mid], nacks: rtp.nackCount, lost: rtp.packetsLost, resent: rtp.retransmittedPacketsReceived,
    };
  }

  // layers returns what arrives of the camera at the server.
  layers() {
    return post('/layers', {name: this.name});
  }
}

// extend adds header extensions to what a section offers.
function extend(t, names) {
  if (!names.length) return;
  const list = t.getHeaderExtensionsToNegotiate();
  for (const e of list) if (names.some((name) => e.uri.includes(name))) e.direction = 'sendrecv';
  t.setHeaderExtensionsToNegotiate(list);
}

export async function post(path, body) {
  const response = await fetch(path, {method: 'POST', body: JSON.stringify(body)});
  if (!response.ok) throw new Error(path + ': ' + await response.text());
  return response.json();
}

export async function until(what, ok) {
  const start = performance.now();
  while (!(await ok())) {
    if (performance.now() - start > 20000) throw new Error('no ' + what);
    await new Promise((done) => setTimeout(done, 20));
  }
  return performance.now() - start;
}

// decodes waits until a section has shown so many frames more.
export async function decodes(attendee, t, label, more = 20) {
  const before = (await attendee.video(t)).frames;
  await until(label, async () => (await attendee.video(t)).frames >= before + more);
  return attendee.video(t);
}

// play runs a scene and tells the server what it saw.
export async function play(scene) {
  const results = {};
  try {
    await scene(results);
    await post('/done', {results});
  } catch (err) {
    await post('/done', {error: `${err}\n${err && err.stack}`, results});
  }
}

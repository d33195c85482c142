// The camera, the microphone and the speakers before a meeting, when there is
// no session yet that could hold them.

export type Kind = 'mic' | 'camera';

// denied: the person or the browser said no. missing: there is none. busy:
// something else holds it. insecure: the browser hides devices from this page.
export type Access = 'asking' | 'ready' | 'off' | 'denied' | 'missing' | 'busy' | 'insecure';

export interface Device {
  id: string;
  label: string;
}

export interface Source {
  access: Access;
  // Whether the person wants it on, now and in the meeting.
  on: boolean;
  devices: Device[];
  deviceId?: string;
  track?: MediaStreamTrack;
}

export interface Devices {
  mic: Source;
  camera: Source;
  speakers: Device[];
  speakerId?: string;
}

// Choices is what the meeting takes over from the lobby.
export interface Choices {
  mic: { allowed: boolean; on: boolean; deviceId?: string };
  camera: { allowed: boolean; on: boolean; deviceId?: string };
  speakerId?: string;
}

const rememberedKey = 'belfry.devices';

interface Remembered {
  micId?: string;
  cameraId?: string;
  speakerId?: string;
  micOn?: boolean;
  cameraOn?: boolean;
}

export class DeviceStore {
  private state: Devices;
  private listeners = new Set<() => void>();
  private closed = false;

  constructor() {
    const was = recall();
    this.state = {
      mic: { access: 'asking', on: was.micOn ?? true, deviceId: was.micId, devices: [] },
      camera: { access: 'asking', on: was.cameraOn ?? true, deviceId: was.cameraId, devices: [] },
      speakers: [],
      speakerId: was.speakerId,
    };
  }

  subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  snapshot = () => this.state;

  // open asks for both at once, so that the person is asked once.
  async open(): Promise<void> {
    this.closed = false;
    if (!navigator.mediaDevices) {
      this.change('mic', { access: 'insecure' });
      this.change('camera', { access: 'insecure' });
      return;
    }
    navigator.mediaDevices.addEventListener('devicechange', this.list);
    const { mic, camera } = this.state;
    const wanted: MediaStreamConstraints = {
      audio: mic.on && constraints('mic', mic.deviceId),
      video: camera.on && constraints('camera', camera.deviceId),
    };
    try {
      const stream = mic.on || camera.on ? await navigator.mediaDevices.getUserMedia(wanted) : new MediaStream();
      this.take('mic', stream.getAudioTracks()[0]);
      this.take('camera', stream.getVideoTracks()[0]);
    } catch {
      // One of the two is not to be had: find out which, and have the other.
      await this.acquire('mic');
      await this.acquire('camera');
    }
    await this.list();
  }

  close(): void {
    this.closed = true;
    navigator.mediaDevices?.removeEventListener('devicechange', this.list);
    for (const kind of ['mic', 'camera'] as const) {
      this.state[kind].track?.stop();
      this.change(kind, { track: undefined });
    }
  }

  async toggle(kind: Kind): Promise<void> {
    const source = this.state[kind];
    if (source.on && source.access === 'ready') {
      source.track?.stop();
      this.change(kind, { on: false, access: 'off', track: undefined });
    } else {
      this.change(kind, { on: true });
      await this.acquire(kind);
      await this.list();
    }
    this.remember();
  }

  async choose(kind: Kind, deviceId: string): Promise<void> {
    this.state[kind].track?.stop();
    this.change(kind, { deviceId, on: true, track: undefined });
    await this.acquire(kind);
    this.remember();
  }

  chooseSpeaker(speakerId: string): void {
    this.set({ ...this.state, speakerId });
    this.remember();
  }

  // choices are what the person wants. Who joins while the browser still asks is not refused anything: the meeting
  // asks on.
  choices(): Choices {
    const of = ({ access, on, deviceId }: Source) => {
      const allowed = access === 'ready' || access === 'off' || access === 'asking';
      return { allowed, on: allowed && on, deviceId };
    };
    return { mic: of(this.state.mic), camera: of(this.state.camera), speakerId: this.state.speakerId };
  }

  private async acquire(kind: Kind): Promise<void> {
    if (!this.state[kind].on) {
      this.change(kind, { access: 'off' });
      return;
    }
    if (!navigator.mediaDevices) {
      this.change(kind, { access: 'insecure' });
      return;
    }
    this.change(kind, { access: 'asking' });
    try {
      const wanted = constraints(kind, this.state[kind].deviceId);
      const stream = await navigator.mediaDevices.getUserMedia(kind === 'mic' ? { audio: wanted } : { video: wanted });
      this.take(kind, stream.getTracks()[0]);
    } catch (err) {
      this.change(kind, { access: refusal(err), track: undefined });
    }
  }

  private take(kind: Kind, track: MediaStreamTrack | undefined): void {
    if (!this.state[kind].on || this.closed || !track) {
      track?.stop();
      this.change(kind, { access: 'off', track: undefined });
      return;
    }
    const deviceId = track.getSettings().deviceId ?? this.state[kind].deviceId;
    track.addEventListener('ended', () => {
      // Only a device that went away ends a track; stopping one does not.
      if (this.state[kind].track === track) {
        this.change(kind, { access: 'missing', track: undefined });
      }
    });
    this.state[kind].track?.stop();
    this.change(kind, { access: 'ready', deviceId, track });
  }

  private list = async (): Promise<void> => {
    const all = await navigator.mediaDevices.enumerateDevices();
    const of = (kind: MediaDeviceKind, word: string) =>
      all
        .filter((d) => d.kind === kind && d.deviceId)
        .map((d, i) => ({ id: d.deviceId, label: d.label || `${word} ${i + 1}` }));
    const speakers = 'setSinkId' in HTMLMediaElement.prototype ? of('audiooutput', 'Speaker') : [];
    this.set({
      ...this.state,
      mic: { ...this.state.mic, devices: of('audioinput', 'Microphone') },
      camera: { ...this.state.camera, devices: of('videoinput', 'Camera') },
      speakers,
      speakerId: speakers.some((s) => s.id === this.state.speakerId) ? this.state.speakerId : speakers[0]?.id,
    });
  };

  private change(kind: Kind, change: Partial<Source>): void {
    this.set({ ...this.state, [kind]: { ...this.state[kind], ...change } });
  }

  private set(state: Devices): void {
    this.state = state;
    for (const listener of this.listeners) {
      listener();
    }
  }

  private remember(): void {
    const { mic, camera, speakerId } = this.state;
    const kept: Remembered = {
      micId: mic.deviceId,
      cameraId: camera.deviceId,
      speakerId,
      micOn: mic.on,
      cameraOn: camera.on,
    };
    localStorage.setItem(rememberedKey, JSON.stringify(kept));
  }
}

function constraints(kind: Kind, deviceId: string | undefined): MediaTrackConstraints {
  // A device that is gone must not stand in the way of another: ideal, not exact.
  const device = deviceId ? { deviceId: { ideal: deviceId } } : {};
  return kind === 'mic' ? device : { ...device, width: { ideal: 1280 }, height: { ideal: 720 } };
}

export function refusal(err: unknown): Access {
  switch (err instanceof Error ? err.name : '') {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'denied';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'missing';
    default:
      return 'busy';
  }
}

function recall(): Remembered {
  try {
    return JSON.parse(localStorage.getItem(rememberedKey) ?? '{}') as Remembered;
  } catch {
    return {};
  }
}

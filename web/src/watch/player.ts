import Hls, { type ErrorData, Events, type HlsConfig } from 'hls.js';
import { behindLive } from './latency';
import { probe } from './probe';

// connecting: nothing is known yet. offline: no such stream now. waiting: it is
// said to be on, but no new picture comes. unsupported: this browser cannot.
export type Phase = 'connecting' | 'offline' | 'playing' | 'paused' | 'waiting' | 'ended' | 'unreachable' | 'unsupported';

export interface PlayerState {
  phase: Phase;
  // Seconds behind live; undefined while nothing plays.
  behind?: number;
  muted: boolean;
  volume: number;
}

const config: Partial<HlsConfig> = {
  lowLatencyMode: true,
  // Hurries, hardly audibly, to get back to the live edge.
  maxLiveSyncPlaybackRate: 1.25,
  backBufferLength: 30,
};

const lookEveryMs = 400;
const probeEveryMs = 2500;
// Without a new picture, or without news in the playlist, for so long, the
// stream must not be called live.
const pictureLimitMs = 1500;
const newsLimitMs = 3000;
// After so long without either, everything is begun anew.
const hopeLimitMs = 10_000;
// Further behind the newest part than this, in seconds, hurrying would take too
// long: the player jumps, but not again at once, or a slow machine would do nothing else.
const lateLimit = 8;
const jumpEveryMs = 10_000;

// Player plays one stream whenever it is on: it asks until there is one, plays
// it, and asks again when it is over or broken.
export class Player {
  private state: PlayerState = { phase: 'connecting', muted: true, volume: 1 };
  private listeners = new Set<() => void>();
  private video: HTMLVideoElement | undefined;
  private hls: Hls | undefined;
  private stopping = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private looking: ReturnType<typeof setInterval> | undefined;
  private wantsPause = false;
  // When the picture last moved on and when the playlist last grew, on the page's clock.
  private pictureAt = 0;
  private newsAt = 0;
  private position = -1;
  private jumpedAt = 0;
  // The playlist has its end: no more news will come.
  private complete = false;
  // Whether the picture has moved since the player was attached, and whether it ever has.
  private moved = false;
  private played = false;

  constructor(private readonly url: string) {}

  subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  snapshot = () => this.state;

  start(video: HTMLVideoElement): void {
    this.video = video;
    this.stopping = new AbortController();
    const { signal } = this.stopping;
    video.muted = true;
    video.addEventListener('ended', this.onEnded, { signal });
    video.addEventListener('error', this.onBroken, { signal });
    video.addEventListener('volumechange', this.onVolume, { signal });
    video.addEventListener('pause', this.look, { signal });
    video.addEventListener('playing', this.look, { signal });
    void this.ask();
  }

  stop(): void {
    this.stopping.abort();
    this.detach();
    clearTimeout(this.timer);
    this.video = undefined;
  }

  togglePause(): void {
    this.wantsPause = !this.wantsPause;
    if (this.wantsPause) {
      this.video?.pause();
    } else {
      this.toLive();
      void this.play();
    }
  }

  toggleMute(): void {
    if (this.video) {
      this.video.muted = !this.video.muted;
      if (!this.video.muted && this.video.volume === 0) {
        this.video.volume = 1;
      }
    }
  }

  setVolume(volume: number): void {
    if (this.video) {
      this.video.volume = volume;
      this.video.muted = volume === 0;
    }
  }

  private toLive(): void {
    const { video, hls } = this;
    if (!video) {
      return;
    }
    const edge = hls?.liveSyncPosition ?? (video.seekable.length ? video.seekable.end(video.seekable.length - 1) - 1 : undefined);
    if (edge && edge > video.currentTime) {
      video.currentTime = edge;
    }
  }

  // ask finds out how the stream is, and begins to play when it is on.
  private async ask(): Promise<void> {
    const { signal } = this.stopping;
    const airing = await probe(this.url, signal);
    if (signal.aborted) {
      return;
    }
    if (airing === 'live') {
      this.attach();
      return;
    }
    // What was seen and is gone has ended; what was never seen is yet to come.
    this.set({ phase: airing === 'offline' && this.played ? 'ended' : airing, behind: undefined });
    this.askLater();
  }

  private askLater(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask(), probeEveryMs);
  }

  private attach(): void {
    const { video } = this;
    if (!video) {
      return;
    }
    this.pictureAt = this.newsAt = performance.now();
    this.position = -1;
    this.moved = false;
    this.complete = false;
    this.looking = setInterval(this.look, lookEveryMs);
    if (Hls.isSupported()) {
      const hls = new Hls(config);
      this.hls = hls;
      let edge = -1;
      hls.on(Events.LEVEL_UPDATED, (_, { details }) => {
        this.complete = !details.live;
        if (details.edge !== edge) {
          edge = details.edge;
          this.newsAt = performance.now();
        }
      });
      hls.on(Events.LEVEL_LOADED, (_, { details }) => {
        // A stream that is over when it is first seen is not played from its beginning.
        if (!details.live && !this.moved) {
          this.onEnded();
        }
      });
      hls.on(Events.ERROR, (_, data) => this.onHlsError(hls, data));
      hls.loadSource(this.url);
      hls.attachMedia(video);
    } else if (video.canPlayType('application/vnd.apple.mpegurl')) {
      video.src = this.url;
    } else {
      this.detach();
      this.set({ phase: 'unsupported', behind: undefined });
      return;
    }
    void this.play();
  }

  private detach(): void {
    clearInterval(this.looking);
    this.hls?.destroy();
    this.hls = undefined;
    if (this.video?.getAttribute('src')) {
      this.video.removeAttribute('src');
      this.video.load();
    }
  }

  private async play(): Promise<void> {
    if (this.wantsPause) {
      return;
    }
    try {
      await this.video?.play();
    } catch (err) {
      // A browser that plays nothing unasked waits for the person to press play.
      if (err instanceof Error && err.name === 'NotAllowedError') {
        this.wantsPause = true;
      }
    }
  }

  // look decides what may be said: live only while pictures and news come.
  private look = (): void => {
    const { video, hls } = this;
    if (!video || (!hls && !video.src)) {
      return;
    }
    const now = performance.now();
    if (video.currentTime !== this.position) {
      // The first look only takes the measure: a player that was just attached stands at zero.
      if (this.position >= 0) {
        this.pictureAt = now;
        this.moved = true;
        this.played = true;
      }
      this.position = video.currentTime;
    }
    if (!hls || this.complete) {
      this.newsAt = now;
    }
    if (this.wantsPause) {
      this.pictureAt = now;
      this.set({ phase: 'paused' });
    } else if (this.complete && now - this.pictureAt > pictureLimitMs) {
      this.onEnded();
    } else if (now - Math.min(this.pictureAt, this.newsAt) > hopeLimitMs) {
      this.begin();
    } else if (now - this.pictureAt > pictureLimitMs || now - this.newsAt > newsLimitMs) {
      this.set({ phase: this.played ? 'waiting' : 'connecting', behind: undefined });
    } else if (this.moved) {
      if (hls && hls.latency > lateLimit && now - this.jumpedAt > jumpEveryMs) {
        this.jumpedAt = now;
        this.toLive();
      }
      this.set({ phase: 'playing', behind: this.behind() });
    }
  };

  private behind(): number | undefined {
    const { video, hls } = this;
    if (hls) {
      return behindLive({ now: Date.now(), playing: hls.playingDate?.getTime(), edge: hls.latency });
    }
    // Safari knows the wall clock time of the stream's beginning.
    const native = video as (HTMLVideoElement & { getStartDate?: () => Date }) | undefined;
    const start = native?.getStartDate?.().getTime();
    if (!native || start === undefined || Number.isNaN(start)) {
      return undefined;
    }
    return Math.max(0, (Date.now() - start) / 1000 - native.currentTime);
  }

  private onHlsError(hls: Hls, data: ErrorData): void {
    if (data.fatal && hls === this.hls) {
      this.begin();
    }
  }

  private onBroken = (): void => {
    // hls.js reports its own errors; this is the browser's own player.
    if (!this.hls && this.video?.src) {
      this.begin();
    }
  };

  private onEnded = (): void => {
    this.detach();
    this.set({ phase: 'ended', behind: undefined });
    this.askLater();
  };

  private onVolume = (): void => {
    if (this.video) {
      this.set({ muted: this.video.muted, volume: this.video.volume });
    }
  };

  // begin drops what does not work and asks again.
  private begin(): void {
    this.detach();
    this.set({ phase: this.played ? 'waiting' : 'connecting', behind: undefined });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask(), 500);
  }

  private set(change: Partial<PlayerState>): void {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) {
      listener();
    }
  }
}

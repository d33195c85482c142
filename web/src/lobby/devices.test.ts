import { describe, expect, it } from 'vitest';
import { DeviceStore } from './devices';

describe('choices', () => {
  it('keep microphone and camera on while the browser still asks', () => {
    const { mic, camera } = new DeviceStore().choices();
    expect(mic).toMatchObject({ allowed: true, on: true });
    expect(camera).toMatchObject({ allowed: true, on: true });
  });
});

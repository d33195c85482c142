import { useEffect, useState, useSyncExternalStore } from 'react';
import { DeviceStore, type Devices } from './devices';

export function useDevices(): [Devices, DeviceStore] {
  const [store] = useState(() => new DeviceStore());
  useEffect(() => {
    void store.open();
    return () => store.close();
  }, [store]);
  return [useSyncExternalStore(store.subscribe, store.snapshot), store];
}

import { useEffect } from 'react';

// useShortcuts calls an action when its key is pressed outside of a field.
export function useShortcuts(actions: Record<string, () => void>): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const inField = event.target instanceof HTMLElement && event.target.closest('input, select, textarea, dialog, [role=menu]');
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || inField) {
        return;
      }
      actions[event.key.toLowerCase()]?.();
    };
    document.addEventListener('keydown', onKeyDown);
    return () => document.removeEventListener('keydown', onKeyDown);
  }, [actions]);
}

import { type KeyboardEvent, type ReactNode, useCallback, useEffect, useId, useRef, useState } from 'react';
import { CheckIcon } from './icons';
import styles from './Menu.module.css';

export interface MenuChoice {
  id: string;
  label: string;
}

interface Props {
  // What the button says to screen readers.
  label: string;
  title: string;
  choices: MenuChoice[];
  selected: string | undefined;
  onSelect: (id: string) => void;
  buttonClassName?: string;
  children: ReactNode;
}

// Menu is a button that opens a list of which one is chosen. The arrow keys
// move in it, Escape and a press elsewhere close it.
export function Menu({ label, title, choices, selected, onSelect, buttonClassName, children }: Props) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const id = useId();

  const close = useCallback((backToButton: boolean) => {
    setOpen(false);
    if (backToButton) {
      button.current?.focus();
    }
  }, []);

  useEffect(() => {
    if (!open) {
      return undefined;
    }
    const items = itemsOf(root.current);
    (items.find((item) => item.getAttribute('aria-checked') === 'true') ?? items[0])?.focus();
    const outside = (event: PointerEvent) => {
      if (!root.current?.contains(event.target as Node)) {
        close(false);
      }
    };
    document.addEventListener('pointerdown', outside);
    return () => document.removeEventListener('pointerdown', outside);
  }, [open, close]);

  const onKeyDown = (event: KeyboardEvent) => {
    if (!open) {
      return;
    }
    if (event.key === 'Escape') {
      event.stopPropagation();
      close(true);
      return;
    }
    if (event.key === 'Tab') {
      close(false);
      return;
    }
    const items = itemsOf(root.current);
    const at = items.indexOf(document.activeElement as HTMLElement);
    const next = nextIndex(event.key, at, items.length);
    if (next !== undefined) {
      event.preventDefault();
      items[next]?.focus();
    }
  };

  return (
    <div className={styles.root} ref={root} onKeyDown={onKeyDown}>
      <button
        type="button"
        ref={button}
        className={buttonClassName}
        aria-label={label}
        title={label}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        onClick={() => setOpen(!open)}
      >
        {children}
      </button>
      {open && (
        <div className={styles.menu} id={id} role="menu" aria-label={title}>
          <p className={styles.title} aria-hidden="true">
            {title}
          </p>
          {choices.length === 0 && <p className={styles.none}>None found</p>}
          {choices.map((choice) => (
            <button
              type="button"
              key={choice.id}
              role="menuitemradio"
              aria-checked={choice.id === selected}
              tabIndex={-1}
              className={styles.item}
              onClick={() => {
                onSelect(choice.id);
                close(true);
              }}
            >
              <span className={styles.check}>{choice.id === selected && <CheckIcon />}</span>
              <span className={styles.label}>{choice.label}</span>
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

function itemsOf(root: HTMLElement | null): HTMLElement[] {
  return root ? [...root.querySelectorAll<HTMLElement>('[role=menuitemradio]')] : [];
}

function nextIndex(key: string, at: number, count: number): number | undefined {
  switch (key) {
    case 'ArrowDown':
      return (at + 1) % count;
    case 'ArrowUp':
      return (at - 1 + count) % count;
    case 'Home':
      return 0;
    case 'End':
      return count - 1;
    default:
      return undefined;
  }
}

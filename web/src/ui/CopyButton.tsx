import { useEffect, useState } from 'react';
import { Button } from './Button';
import styles from './CopyButton.module.css';
import { CheckIcon, LinkIcon } from './icons';

interface Props {
  text: string;
  label: string;
  look?: 'plain' | 'quiet';
  // On a phone the icon must do.
  compact?: boolean;
  testId?: string;
}

// CopyButton copies a link and says so for a moment.
export function CopyButton({ text, label, look = 'plain', compact = false, testId }: Props) {
  const [said, setSaid] = useState<string>();

  useEffect(() => {
    if (!said) {
      return undefined;
    }
    const timer = setTimeout(() => setSaid(undefined), 2000);
    return () => clearTimeout(timer);
  }, [said]);

  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid('Copied');
    } catch {
      // Without a secure page there is no clipboard; the link can still be copied by hand.
      window.prompt('Copy this link', text);
    }
  };

  return (
    <Button look={look} onClick={copy} data-testid={testId} aria-label={said ?? label} aria-live="polite" title={label}>
      {said ? <CheckIcon /> : <LinkIcon />}
      <span className={compact ? styles.compact : ''}>{said ?? label}</span>
    </Button>
  );
}

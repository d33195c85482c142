import { useEffect, useState } from 'react';
import { Button } from './Button';
import { CheckIcon, LinkIcon } from './icons';

interface Props {
  text: string;
  label: string;
  look?: 'plain' | 'quiet';
  testId?: string;
}

// CopyButton copies a link and says so for a moment.
export function CopyButton({ text, label, look = 'plain', testId }: Props) {
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
    <Button look={look} onClick={copy} data-testid={testId} aria-live="polite">
      {said ? <CheckIcon /> : <LinkIcon />}
      {said ?? label}
    </Button>
  );
}

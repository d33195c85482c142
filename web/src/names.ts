// An external user id is eight hex digits, '#', and the name its owner typed.

export function attendeeName(externalUserId: string | undefined): string {
  const id = externalUserId ?? '';
  const mark = id.indexOf('#');
  const name = mark < 0 ? id.trim() : id.slice(mark + 1).trim();
  if (name) {
    return name;
  }
  return mark > 0 ? `Guest ${id.slice(0, Math.min(mark, 4))}` : 'Guest';
}

// initials gives the first letter of the first and of the last word.
export function initials(name: string): string {
  const words = name.split(/\s+/).filter(Boolean);
  const first = words[0];
  if (!first) {
    return '?';
  }
  const last = words.length > 1 ? words[words.length - 1]! : '';
  return (letter(first) + letter(last)).toUpperCase();
}

// hue is the same for the same id on every screen, 0 to 359.
export function hue(id: string): number {
  let sum = 0;
  for (const c of id) {
    sum = (sum * 31 + c.codePointAt(0)!) % 360;
  }
  return sum;
}

// letter keeps a character made of two code units in one piece.
function letter(word: string): string {
  return [...word][0] ?? '';
}

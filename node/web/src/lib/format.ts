// Dates, sizes and durations in the reader's language; pure, the clock comes from outside.

const DAY = 86_400_000;

const formats = new Map<string, Intl.DateTimeFormat>();

function dateFormat(language: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = language + JSON.stringify(options);
  let format = formats.get(key);
  if (!format) formats.set(key, (format = new Intl.DateTimeFormat(language, options)));
  return format;
}

function startOfDay(date: Date): number {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

/** Whole calendar days from `date` to `now`: 0 today, 1 yesterday. */
export function daysAgo(date: Date, now: Date): number {
  return Math.round((startOfDay(now) - startOfDay(date)) / DAY);
}

export function clock(time: string, language: string): string {
  return dateFormat(language, { hour: 'numeric', minute: '2-digit' }).format(new Date(time));
}

/** In a list: the time of day today, the weekday this week, else the date. */
export function brief(time: string, now: Date, language: string): string {
  const date = new Date(time);
  const days = daysAgo(date, now);
  if (days <= 0) return clock(time, language);
  if (days < 7) return dateFormat(language, { weekday: 'short' }).format(date);
  const sameYear = date.getFullYear() === now.getFullYear();
  return dateFormat(language, {
    month: 'short',
    day: 'numeric',
    ...(sameYear ? {} : { year: 'numeric' }),
  }).format(date);
}

/** Heading of a day: today and yesterday in words. */
export function dayName(time: string, now: Date, language: string): string {
  const date = new Date(time);
  const days = daysAgo(date, now);
  if (days === 0 || days === 1) {
    const word = new Intl.RelativeTimeFormat(language, { numeric: 'auto' }).format(-days, 'day');
    return word.charAt(0).toLocaleUpperCase(language) + word.slice(1);
  }
  const sameYear = date.getFullYear() === now.getFullYear();
  return dateFormat(language, {
    weekday: 'long',
    month: 'long',
    day: 'numeric',
    ...(sameYear ? {} : { year: 'numeric' }),
  }).format(date);
}

export function fullDate(time: string, language: string): string {
  return dateFormat(language, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(time));
}

export function number(value: number, language: string, digits = 0): string {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
}

function unit(value: number, name: string, language: string, long: boolean, digits = 0): string {
  return new Intl.NumberFormat(language, {
    style: 'unit',
    unit: name,
    unitDisplay: long ? 'long' : 'narrow',
    maximumFractionDigits: digits,
  }).format(value);
}

/** Bytes of 10^3, as files are measured elsewhere. */
export function size(bytes: number, language: string): string {
  const steps = ['byte', 'kilobyte', 'megabyte', 'gigabyte'] as const;
  let value = bytes;
  let step = 0;
  while (value >= 999.5 && step < steps.length - 1) {
    value /= 1000;
    step += 1;
  }
  return new Intl.NumberFormat(language, {
    style: 'unit',
    unit: steps[step] ?? 'byte',
    unitDisplay: 'short',
    maximumFractionDigits: step > 0 && value < 10 ? 1 : 0,
  }).format(value);
}

/** A chosen time, in whole words: "5 minutes", "1 week". */
export function duration(seconds: number, language: string): string {
  const [value, name] = scaled(seconds);
  return unit(value, name, language, true);
}

/** What is left, as short as can be: "42s", "12m", "3h", "6d". */
export function countdown(milliseconds: number, language: string): string {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  const [value, name] = scaled(seconds);
  return unit(Math.floor(value), name === 'week' ? 'week' : name, language, false);
}

/** Latency: "0.9 s" below ten seconds, "12 s" above. */
export function latency(milliseconds: number, language: string): string {
  const seconds = milliseconds / 1000;
  return unit(seconds, 'second', language, false, seconds < 10 ? 1 : 0);
}

function scaled(seconds: number): [number, string] {
  if (seconds >= 604_800) return [seconds / 604_800, 'week'];
  if (seconds >= 86_400) return [seconds / 86_400, 'day'];
  if (seconds >= 3600) return [seconds / 3600, 'hour'];
  if (seconds >= 60) return [seconds / 60, 'minute'];
  return [seconds, 'second'];
}

/** Groups for reading aloud; what is in groups already stays. */
export function grouped(code: string, length = 5): string[] {
  if (/\s|-/.test(code.trim())) return code.trim().split(/[\s-]+/);
  return code.match(new RegExp(`.{1,${length}}`, 'gu')) ?? [];
}

/** Enough of a long name to recognise it by. */
export function shortened(text: string, head = 8, tail = 4): string {
  const letters = Array.from(text);
  if (letters.length <= head + tail + 1) return text;
  return letters.slice(0, head).join('') + '…' + letters.slice(-tail).join('');
}

export interface Piece {
  text: string;
  hit: boolean;
}

/** Cuts a text at spans of code points, with what stands around the first one. */
export function highlighted(text: string, spans: [number, number][], around = 24): Piece[] {
  const letters = Array.from(text);
  const first = spans[0]?.[0] ?? 0;
  const start = first > around * 2 ? first - around : 0;
  const pieces: Piece[] = start > 0 ? [{ text: '…', hit: false }] : [];
  let place = start;
  for (const [from, to] of spans) {
    if (from < place || to <= from) continue;
    if (from > place) pieces.push({ text: letters.slice(place, from).join(''), hit: false });
    pieces.push({ text: letters.slice(from, to).join(''), hit: true });
    place = to;
  }
  const rest = letters.slice(place, place + 160).join('');
  if (rest) pieces.push({ text: rest, hit: false });
  return pieces;
}

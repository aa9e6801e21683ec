import { expect, test } from 'vitest';
import { base64 } from '../src/lib/bytes';
import {
  brief,
  countdown,
  dayName,
  daysAgo,
  duration,
  grouped,
  highlighted,
  latency,
  shortened,
  size,
} from '../src/lib/format';
import { isInvite } from '../src/lib/invite';
import { COSTS, costs } from '../src/lib/presets';
import { priceWords } from '../src/lib/price';

const at = (day: number, hour = 12): Date => new Date(2026, 4, day, hour);

test('days are the calendar’s, not spans of 24 hours', () => {
  expect(daysAgo(at(9, 23), at(10, 1))).toBe(1);
  expect(daysAgo(at(10, 0), at(10, 23))).toBe(0);
});

test('today and yesterday are words, in both languages', () => {
  expect(dayName(at(10).toISOString(), at(10, 13), 'en')).toBe('Today');
  expect(dayName(at(9).toISOString(), at(10), 'en')).toBe('Yesterday');
  expect(dayName(at(9).toISOString(), at(10), 'zh-Hans')).toBe('昨天');
  expect(dayName(new Date(2024, 1, 2).toISOString(), at(10), 'en')).toContain('2024');
});

test('a list shows the time, the weekday or the date, whichever tells most', () => {
  expect(brief(at(10, 9).toISOString(), at(10), 'en')).toMatch(/9:00/);
  expect(brief(at(7).toISOString(), at(10), 'en')).toMatch(/^[A-Z][a-z]{2}$/);
  expect(brief(at(1).toISOString(), at(20), 'en')).toBe('May 1');
});

test('sizes count in thousands and round before the unit changes', () => {
  expect(size(999, 'en')).toBe('999 byte');
  expect(size(48_211, 'en')).toBe('48 kB');
  expect(size(999_900, 'en')).toBe('1 MB');
  expect(size(1_500_000, 'en')).toBe('1.5 MB');
});

test('durations are in whole words, what is left is short', () => {
  expect(duration(300, 'en')).toBe('5 minutes');
  expect(duration(604_800, 'en')).toBe('1 week');
  expect(duration(604_800, 'zh-Hans')).toContain('1');
  expect(countdown(41_200, 'en')).toBe('42s');
  expect(countdown(3_599_000, 'en')).toBe('59m');
  expect(countdown(-5, 'en')).toBe('0s');
  expect(latency(630, 'en')).toBe('0.6s');
});

test('codes are read in groups, those that have groups keep them', () => {
  expect(grouped('1234567890')).toEqual(['12345', '67890']);
  expect(grouped('07919 15838  23757')).toEqual(['07919', '15838', '23757']);
  expect(shortened('abcdefghijklmnopqrstuvwxyz', 4, 2)).toBe('abcd…yz');
  expect(shortened('short', 4, 2)).toBe('short');
});

test('spans count code points, so that pictures before a hit do not shift it', () => {
  expect(highlighted('🐟🐟 tide', [[3, 7]])).toEqual([
    { text: '🐟🐟 ', hit: false },
    { text: 'tide', hit: true },
  ]);
});

test('a hit far into a text is shown with what stands around it', () => {
  const pieces = highlighted('x'.repeat(500) + 'needle', [[500, 506]]);
  expect(pieces[0]?.text).toBe('…');
  expect(pieces.find((piece) => piece.hit)?.text).toBe('needle');
});

test('spans that overlap or are empty do no harm', () => {
  const text = highlighted('abcdef', [
    [1, 3],
    [2, 4],
    [5, 5],
  ]);
  expect(text.map((piece) => piece.text).join('')).toBe('abcdef');
});

test('invites are told from pseudonyms, as code and as link', () => {
  expect(isInvite('shoal-invite1qqq')).toBe(true);
  expect(isInvite(' shoal:SHOAL-INVITE1QQQ ')).toBe(true);
  expect(isInvite('shoal1qqq')).toBe(false);
});

test('the present pace shows the node’s own figures', () => {
  const traffic = {
    preset: 'fast',
    packets_per_s: 10,
    mean_delay_ms: 30,
    quick_share: 0.667,
    waiting_gets: 50,
    up_kb_per_s: 1,
    down_kb_per_s: 1,
    gb_per_day: 2,
    link_ms: 0,
    latency_ms: { p50: 3, p95: 4 },
  };
  expect(costs(traffic)[2]).toEqual({ preset: 'fast', kbPerSecond: 1, gbPerDay: 2, latencyMs: 3 });
  expect(costs(traffic)[1]).toEqual(COSTS[1]);
  expect(COSTS[1]?.gbPerDay).toBeCloseTo(2.12, 1);
});

test('more work is never called less', () => {
  const order = ['req_price_low', 'req_price_some', 'req_price_more', 'req_price_much'];
  const places = [0, 12, 17, 18, 22, 23, 27, 28, 64].map((bits) => order.indexOf(priceWords(bits)));
  expect(places).toEqual(places.toSorted());
  expect(new Set(places).size).toBe(4);
});

test('bytes come out of base64 as they went in, however many', () => {
  const bytes = Uint8Array.from({ length: 20_001 }, (_, place) => place % 251);
  expect(Uint8Array.from(atob(base64(bytes)), (c) => c.charCodeAt(0))).toEqual(bytes);
});

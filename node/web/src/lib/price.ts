// What a request's work is worth in words. A computer tries about a million hashes a second in
// one thread of ordinary code; each bit doubles the tries.

const SECOND = 18; // bits: a quarter of a second, and less
const MINUTE = 23; // bits: eight seconds
const MANY = 28; // bits: four minutes

export function priceWords(bits: number): `req_price_${'low' | 'some' | 'more' | 'much'}` {
  if (bits < SECOND) return 'req_price_low';
  if (bits < MINUTE) return 'req_price_some';
  if (bits < MANY) return 'req_price_more';
  return 'req_price_much';
}

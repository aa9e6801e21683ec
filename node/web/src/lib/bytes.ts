// Bytes as base64, in slices that fit a call's arguments.

const SLICE = 8192;

export function base64(bytes: Uint8Array): string {
  let text = '';
  for (let place = 0; place < bytes.length; place += SLICE)
    text += String.fromCharCode(...bytes.subarray(place, place + SLICE));
  return btoa(text);
}

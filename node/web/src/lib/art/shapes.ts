/**
 * The few strokes that every drawing is made of.
 *
 *     Drawing = [Part, Part, …]   painted in this order, each one an SVG <path>
 *     Part    = { d, fill?, stroke?, width?, transform? }
 *
 * The canvas is 64 × 64 units with y down; an avatar's disc has its centre at (32, 32) and radius 32.
 * Parts bear presentation attributes only, never inline styles, so that a strict content security
 * policy lets them through; there are no ids, gradients and clips, so that any number of drawings
 * stand in one document.
 */

export const CANVAS = 64;

export interface Part {
  readonly d: string;
  readonly fill?: string;
  readonly stroke?: string;
  /** Of the stroke, in units; its ends and corners are round. */
  readonly width?: number;
  readonly transform?: string;
}

export type Drawing = readonly Part[];

const short = (n: number): string => String(Math.round(n * 100) / 100);

/** An ellipse around (x, y), turned by `turn` degrees. */
export function oval(x: number, y: number, rx: number, ry: number, turn = 0): string {
  const a = (turn * Math.PI) / 180;
  const [dx, dy] = [rx * Math.cos(a), rx * Math.sin(a)];
  const arc = `a${short(rx)} ${short(ry)} ${short(turn)} 1 0 `;
  return (
    `M${short(x - dx)} ${short(y - dy)}` +
    `${arc}${short(2 * dx)} ${short(2 * dy)}${arc}${short(-2 * dx)} ${short(-2 * dy)}z`
  );
}

export function circle(x: number, y: number, r: number): string {
  return oval(x, y, r, r);
}

/** A closed line through points (x, y) on rounded corners: each point pulls a curve between midpoints. */
export function blob(points: readonly (readonly [number, number])[]): string {
  const at = (i: number) => points[i % points.length] as readonly [number, number];
  const middle = (i: number) => {
    const [[x, y], [u, v]] = [at(i), at(i + 1)];
    return `${short((x + u) / 2)} ${short((y + v) / 2)}`;
  };
  let d = `M${middle(0)}`;
  for (let i = 1; i <= points.length; i++) {
    const [x, y] = at(i);
    d += `Q${short(x)} ${short(y)} ${middle(i)}`;
  }
  return d + "z";
}

export function filled(fill: string, ...paths: string[]): Part {
  return { d: paths.join(""), fill };
}

export function line(stroke: string, width: number, ...paths: string[]): Part {
  return { d: paths.join(""), fill: "none", stroke, width };
}

/** A drawing moved and scaled: each point p comes to (x, y) + scale · p. */
export function placed(drawing: Drawing, x: number, y: number, scale: number): Drawing {
  const transform = `translate(${short(x)} ${short(y)})scale(${short(scale)})`;
  return drawing.map((part) => ({ ...part, transform }));
}

const attributes = (part: Part): string =>
  ` d="${part.d}"` +
  (part.fill ? ` fill="${part.fill}"` : "") +
  (part.stroke
    ? ` stroke="${part.stroke}" stroke-width="${part.width ?? 1}"` +
      ' stroke-linecap="round" stroke-linejoin="round"'
    : "") +
  (part.transform ? ` transform="${part.transform}"` : "");

/** A drawing as a whole SVG document: the page's icon; its components make elements instead. */
export function svg(drawing: Drawing): string {
  const paths = drawing.map((part) => `<path${attributes(part)}/>`).join("");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${CANVAS} ${CANVAS}">${paths}</svg>\n`;
}

// What is written on a pane: orientation letters, names, slice and window, the value under the crosshair, the scale
// bar.
import { barLength } from "./geometry.js";

/** @import { Place } from "./types.d.ts" */
/** @import { Pane } from "../view/pane.js" */
/** @import { Series } from "./series.js" */

const FONT = "system-ui, sans-serif",
  BRIGHT = "#dde3e8",
  DIM = "#aab6c0",
  WARNING = "#e0a458",
  VALUE = "#f0e442";

/**
 * How a text is written. Sizes are CSS pixels.
 * @typedef {{align?: CanvasTextAlign, colour?: string, weight?: number, size?: number}} Style
 */

/**
 * Writes one text at a place of the canvas (device pixels).
 * @typedef {(text: string, x: number, y: number, style?: Style) => void} Write
 */

/**
 * A sentence in lines that are no wider than `most`; a longer word has its own line.
 * @param {string} text
 * @param {(text: string) => number} widthOf
 * @param {number} most
 */
export function linesOf(text, widthOf, most) {
  /** @type {string[]} */
  const lines = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && widthOf(longer) <= most) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/**
 * @param {Pane} pane
 * @param {CanvasRenderingContext2D} g
 * @param {Place} at
 */
export function drawWords(pane, g, at) {
  const r = pane.ratio,
    { width, height } = pane.canvas,
    { picture } = pane,
    { scan } = pane.volume;
  /** @type {Write} */
  const write = (text, x, y, { align = "left", colour = BRIGHT, weight = 400, size = 12 } = {}) => {
    g.font = `${weight} ${size * r}px ${FONT}`;
    g.textAlign = align;
    g.lineWidth = 3 * r;
    g.strokeStyle = "rgba(0,0,0,.75)";
    g.strokeText(text, x, y);
    g.fillStyle = colour;
    g.fillText(text, x, y);
  };
  g.textBaseline = "middle";
  const [left, right, top, bottom] = picture.letters;
  /** @type {Style} */
  const letter = { align: "center", weight: 600, size: 14 };
  write(left, 12 * r, height / 2, letter);
  write(right, width - 12 * r, height / 2, letter);
  write(top, width / 2, 13 * r, letter);
  write(bottom, width / 2, height - 13 * r, letter);
  const narrow = width < 340 * r; // small panes name the scan alone: their neighbour has the rest
  /** @type {(series: Series, channel: string) => string} */
  const named = ({ data }, channel) => (narrow ? channel : `${data.title} · ${channel}`);
  const over = pane.over.series;
  const fused = over
    ? ` + ${named(over, over.shownScan.channel)}`
    : pane.overlay && pane.planeName !== "mip"
      ? ` + ${pane.overlay.scan.channel}`
      : "";
  const title = named(pane.series, scan.channel) + fused;
  write(title, 8 * r, 13 * r, { weight: 600 });
  if (pane.series.data.simulated) write("simulated", 8 * r, 30 * r, { colour: WARNING, size: 11 });
  const number =
    pane.planeName === "mip" ? `MIP ${pane.viewer.mipAngle}°` : `${picture.name} ${pane.slice + 1}/${picture.slices}`;
  write(number, width - 8 * r, 13 * r, { align: "right" });
  const [centre, wide] = pane.viewer.levels.windowOf(scan),
    digits = wide < 20 ? 1 : 0,
    levels = `W ${wide.toFixed(digits)}  L ${centre.toFixed(digits)}`;
  write(levels, width - 8 * r, 30 * r, { align: "right", colour: DIM, size: 11 });
  if (pane.planeName !== "mip") drawReadout(pane, write, height);
  drawBar(pane, g, write, at);
  drawProblem(pane, g, write);
  const name = `${scan.channel} of ${pane.series.data.title}, ${number.replace("/", " of ")}`;
  if (pane.named !== name) pane.canvas.setAttribute("aria-label", name);
  pane.named = name;
}

/**
 * Why there is no picture, in its middle; or how much of it is loaded.
 * @param {Pane} pane
 * @param {CanvasRenderingContext2D} g
 * @param {Write} write
 */
function drawProblem(pane, g, write) {
  const r = pane.ratio,
    { width, height } = pane.canvas,
    { volume } = pane,
    over = pane.over.volume,
    problem = volume.problem || over?.problem || pane.series.labels.problem;
  if (!problem) {
    const percent = Math.round((100 * (volume.arrived + (over?.arrived ?? 0))) / (volume.slabs + (over?.slabs ?? 0)));
    if (!volume.complete || over?.complete === false)
      write(`loading ${percent} %`, 8 * r, 46 * r, { colour: DIM, size: 11 });
    return;
  }
  g.font = `600 ${13 * r}px ${FONT}`;
  const lines = linesOf(problem, (text) => g.measureText(text).width, width - 48 * r);
  for (const [n, line] of lines.entries()) {
    const y = height / 2 + (n - (lines.length - 1) / 2) * 20 * r;
    write(line, width / 2, y, { align: "center", colour: WARNING, weight: 600, size: 13 });
  }
}

/**
 * The crosshair's place in mm, and the values of the scans there.
 * @param {Pane} pane
 * @param {Write} write
 * @param {number} height
 */
function drawReadout(pane, write, height) {
  const r = pane.ratio,
    mm = pane.viewer.cursorOf(pane.series),
    values = [];
  for (const volume of [pane.volume, pane.overlay]) {
    const value = volume?.valueAt(mm) ?? null;
    if (!volume || value === null) continue;
    const { unit } = volume.scan;
    values.push(`${unit === "HU" ? Math.round(value) : value.toFixed(2)} ${unit}`);
  }
  pane.readout = { mm, text: values.join(" · ") || "outside" };
  const place = mm.map((v, n) => `${"xyz"[n]} ${v.toFixed(1)}`).join("  ");
  write(`${place} mm`, 8 * r, height - 13 * r, { colour: DIM, size: 11 });
  write(pane.readout.text, 8 * r, height - 29 * r, { colour: VALUE, weight: 600, size: 13 });
}

/**
 * @param {Pane} pane
 * @param {CanvasRenderingContext2D} g
 * @param {Write} write
 * @param {Place} at
 */
function drawBar(pane, g, write, at) {
  const r = pane.ratio,
    { width, height } = pane.canvas,
    mm = barLength(Math.min(width * 0.28, 160 * r) / at.scale),
    long = mm * at.scale,
    x = width - 10 * r - long,
    y = height - 10 * r;
  g.fillStyle = "#000";
  g.fillRect(x - 1, y - 3 * r - 1, long + 2, 3 * r + 2);
  g.fillStyle = BRIGHT;
  g.fillRect(x, y - 3 * r, long, 3 * r);
  pane.bar = { mm, pixels: long };
  write(mm >= 10 ? `${mm / 10} cm` : `${mm} mm`, width - 10 * r, y - 12 * r, { align: "right", size: 11 });
}

// What is written on a pane: orientation letters, names, slice and window, the value under the crosshair, the scale bar.
import { barLength } from "./geometry.js";

const FONT = "system-ui, sans-serif";

// A sentence in lines that are no wider than `most`, by what `widthOf` says of a text; a longer word has its own line.
export function linesOf(text, widthOf, most) {
  const lines = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && widthOf(longer) <= most) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

export function drawWords(pane, g, at) {
  const r = pane.ratio,
    { width, height } = pane.canvas,
    plane = pane.plane,
    { scan } = pane.volume;
  const say = (text, x, y, align, colour = "#dde3e8", weight = 400, size = 12) => {
    g.font = `${weight} ${size * r}px ${FONT}`;
    g.textAlign = align;
    g.lineWidth = 3 * r;
    g.strokeStyle = "rgba(0,0,0,.75)";
    g.strokeText(text, x, y);
    g.fillStyle = colour;
    g.fillText(text, x, y);
  };
  g.textBaseline = "middle";
  const [left, right, top, bottom] = plane.letters;
  say(left, 12 * r, height / 2, "center", undefined, 600, 14);
  say(right, width - 12 * r, height / 2, "center", undefined, 600, 14);
  say(top, width / 2, 13 * r, "center", undefined, 600, 14);
  say(bottom, width / 2, height - 13 * r, "center", undefined, 600, 14);
  const over = pane.overlay && pane.planeName !== "mip" ? ` + ${pane.overlay.scan.channel}` : "";
  const narrow = width < 340 * r; // small panes name the scan alone: their neighbour has the rest
  say(
    narrow ? `${scan.channel}${over}` : `${pane.series.data.title} · ${scan.channel}${over}`,
    8 * r,
    13 * r,
    "left",
    undefined,
    600,
  );
  if (pane.series.data.simulated) say("simulated", 8 * r, 30 * r, "left", "#e0a458", 400, 11);
  const number =
    pane.planeName === "mip" ? `MIP ${pane.viewer.mipAngle}°` : `${plane.name} ${pane.slice + 1}/${plane.slices}`;
  say(number, width - 8 * r, 13 * r, "right");
  const [centre, wide] = pane.viewer.levels.windowOf(scan),
    digits = wide < 20 ? 1 : 0;
  say(`W ${wide.toFixed(digits)}  L ${centre.toFixed(digits)}`, width - 8 * r, 30 * r, "right", "#aab6c0", 400, 11);
  if (pane.planeName !== "mip") drawReadout(pane, say, r, height);
  drawBar(pane, g, say, at, r, width, height);
  const missing = pane.volume.problem || pane.series.labels?.problem;
  if (missing) {
    g.font = `600 ${13 * r}px ${FONT}`;
    const lines = linesOf(missing, (text) => g.measureText(text).width, width - 48 * r);
    for (const [n, line] of lines.entries()) {
      say(line, width / 2, height / 2 + (n - (lines.length - 1) / 2) * 20 * r, "center", "#e0a458", 600, 13);
    }
  }
  if (!missing && !pane.volume.complete)
    say(
      `loading ${Math.round((100 * pane.volume.arrived) / pane.volume.slabs)} %`,
      8 * r,
      46 * r,
      "left",
      "#aab6c0",
      400,
      11,
    );
  const name = `${scan.channel} of ${pane.series.data.title}, ${number.replace("/", " of ")}`;
  if (pane.named !== name) pane.canvas.setAttribute("aria-label", name);
  pane.named = name;
}

function drawReadout(pane, say, r, height) {
  const mm = pane.viewer.cursorOf(pane.series),
    values = [];
  for (const volume of [pane.volume, pane.overlay]) {
    const value = volume?.valueAt(mm);
    if (value !== null && value !== undefined)
      values.push(`${volume.scan.unit === "HU" ? Math.round(value) : value.toFixed(2)} ${volume.scan.unit}`);
  }
  pane.readout = { mm, text: values.join(" · ") || "outside" };
  say(
    `${mm.map((v, n) => `${"xyz"[n]} ${v.toFixed(1)}`).join("  ")} mm`,
    8 * r,
    height - 13 * r,
    "left",
    "#aab6c0",
    400,
    11,
  );
  say(pane.readout.text, 8 * r, height - 29 * r, "left", "#f0e442", 600, 13);
}

function drawBar(pane, g, say, at, r, width, height) {
  const mm = barLength(Math.min(width * 0.28, 160 * r) / at.scale),
    long = mm * at.scale,
    x = width - 10 * r - long,
    y = height - 10 * r;
  g.fillStyle = "#000";
  g.fillRect(x - 1, y - 3 * r - 1, long + 2, 3 * r + 2);
  g.fillStyle = "#dde3e8";
  g.fillRect(x, y - 3 * r, long, 3 * r);
  pane.bar = { mm, pixels: long };
  say(mm >= 10 ? `${mm / 10} cm` : `${mm} mm`, width - 10 * r, y - 12 * r, "right", undefined, 400, 11);
}

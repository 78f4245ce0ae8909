// The tools that come with the viewer: crosshair, scroll, window, pan; and boxes and points, which the page is told about
// (`request` {"what": "prompt", "prompt": {type, scan, axis, slice, coords, positive}}) and gives back in `data.prompts`.
import { apply, invert, multiply } from "./geometry.js";

const BOX = "#f0e442", PLUS = "#6cc3a0", MINUS = "#e5786d";

export function addMarks(viewer) {
  const plain = [["cross", "Cross", "Crosshair", "k", "crosshair"], ["scroll", "Scroll", "Scroll by dragging", "s", "ns-resize"],
    ["window", "W/L", "Window by dragging", "z", "move"], ["pan", "Pan", "Pan by dragging", "y", "grab"]];
  for (const [name, label, title, key, cursor] of plain) viewer.addTool({ name, label, title, key, cursor });
  if (viewer.data.edit) {
    viewer.addTool(new BoxTool(viewer));
    viewer.addTool(new PointTool(viewer, "plus", "+", "Point that belongs to the lesion", ".", true));
    viewer.addTool(new PointTool(viewer, "minus", "−", "Point that does not belong to it", ",", false));
  }
  for (const tool of viewer.tools.values()) viewer.addKey(tool.key, tool.title.toLowerCase(), () => viewer.setTool(tool.name));
}

// Index of the frame's grid -> voxel of the shown scan. Boxes and points are for slices (k) of the scan's file.
function scanIndex(pane, index) {
  const { volume } = pane, found = apply(multiply(volume.inverse, pane.frame.toMm), index);
  return found.map((v, a) => Math.max(0, Math.min(volume.shape[a] - 1, Math.round(v))));
}

function refusal(viewer, pane) {
  if (pane.series !== viewer.series[0]) return "Boxes and points go on the first timepoint.";
  if (pane.planeName === "mip" || pane.plane.axis !== 2) return "Boxes and points go on the slices of the file (k): choose its plane.";
  return "";
}

function send(viewer, pane, type, coords, slice, positive) {
  const prompt = { type, scan: pane.volume.scan.scan_id, axis: 2, slice, coords, positive };
  viewer.emit("request", { what: "prompt", prompt, nonce: Date.now() });
}

class BoxTool {
  constructor(viewer) { Object.assign(this, { viewer, name: "box", label: "Box", title: "Box around the lesion", key: "b", cursor: "crosshair" }); }

  down(at, pane) {
    const why = refusal(this.viewer, pane);
    if (why) return void this.viewer.say(why);
    this.drag = { pane, from: at.index, to: at.index };
  }

  move(at) {
    if (!this.drag) return;
    this.drag.to = at.index;
    this.drag.pane.draw();
  }

  up(at, pane) {
    const { drag } = this;
    this.drag = null;
    pane.draw();
    if (!drag) return;
    const [a, b] = [drag.from, at.index].map((index) => scanIndex(pane, index));
    if (a[0] === b[0] || a[1] === b[1]) return;
    send(this.viewer, pane, "box", [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])], a[2], true);
  }

  draw(g, pane, place) {
    if (pane.series !== this.viewer.series[0] || pane.planeName === "mip") return;
    if (this.drag?.pane === pane) strokeBox(g, pane, place, this.drag.from, this.drag.to, 0);
    for (const prompt of this.viewer.data.prompts ?? []) drawPrompt(g, pane, place, prompt);
  }
}

class PointTool {
  constructor(viewer, name, label, title, key, positive) { Object.assign(this, { viewer, name, label, title, key, positive, cursor: "crosshair" }); }

  down() { return true; }

  up(at, pane) {
    const why = refusal(this.viewer, pane);
    if (why) return this.viewer.say(why);
    const [i, j, k] = scanIndex(pane, at.index);
    send(this.viewer, pane, "point", [i, j], k, this.positive);
  }
}

// A prompt of any scan of the timepoint, where this plane cuts the slice that it is on.
function drawPrompt(g, pane, place, prompt) {
  const scan = pane.series.scans.find((one) => one.scan_id === prompt.scan);
  if (!scan || pane.plane.axis !== 2) return;
  const back = multiply(invert(pane.frame.master.affine), scan.affine), [x0, y0, x1, y1] = prompt.coords;
  const [a, b] = [[x0, y0], [x1 ?? x0, y1 ?? y0]].map(([x, y]) => apply(back, [x, y, prompt.slice]));
  const thickness = Math.max(1, Math.abs(back[10]));
  if (Math.abs(a[2] - pane.slice) > thickness / 2 + 1e-6) return;
  if (prompt.type === "box") strokeBox(g, pane, place, a, b, 0.5);
  else strokePoint(g, pane, place, a, prompt.positive);
}

function strokeBox(g, pane, { x, y, sx, sy }, from, to, margin) {
  const [a, b] = [from, to].map((index) => pane.plane.toPixel(index));
  const [x0, x1] = [Math.min(a[0], b[0]) - margin, Math.max(a[0], b[0]) + margin], [y0, y1] = [Math.min(a[1], b[1]) - margin, Math.max(a[1], b[1]) + margin];
  g.strokeStyle = BOX;
  g.lineWidth = 2 * pane.ratio;
  g.setLineDash(margin ? [] : [6 * pane.ratio, 4 * pane.ratio]);
  g.strokeRect(x + x0 * sx, y + y0 * sy, (x1 - x0) * sx, (y1 - y0) * sy);
  g.setLineDash([]);
}

function strokePoint(g, pane, { x, y, sx, sy }, index, positive) {
  const [px, py] = pane.plane.toPixel(index), cx = x + px * sx, cy = y + py * sy, r = 6 * pane.ratio;
  g.strokeStyle = positive ? PLUS : MINUS;
  g.lineWidth = 2 * pane.ratio;
  g.beginPath();
  g.moveTo(cx - r, cy);
  g.lineTo(cx + r, cy);
  if (positive) {
    g.moveTo(cx, cy - r);
    g.lineTo(cx, cy + r);
  }
  g.moveTo(cx + 1.5 * r, cy);
  g.arc(cx, cy, 1.5 * r, 0, 2 * Math.PI);
  g.stroke();
}

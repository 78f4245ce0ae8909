// The tools that draw prompts, on any plane of the first timepoint: boxes, points that belong and points that do not. What
// is there already is moved by its corner, edge or place. How prompts and the model's answer look is here, too.
import { apply } from "../lib/geometry.js";
import { inScan } from "../edit/pens.js";
import { inPlane } from "../edit/shapes.js";

const BOX = "#f0e442",
  PLUS = "#6cc3a0",
  MINUS = "#e5786d",
  GRIP_PX = 8;

export function promptTools(session) {
  return [
    new BoxTool(session),
    new PointTool(session, {
      name: "plus",
      label: "+",
      title: "Point that belongs to the lesion",
      key: ".",
      positive: true,
    }),
    new PointTool(session, {
      name: "minus",
      label: "−",
      title: "Point that does not belong to it",
      key: ",",
      positive: false,
    }),
  ];
}

class PromptTool {
  constructor(session, values) {
    Object.assign(this, { session, viewer: session.viewer, kind: "Prompt", cursor: "crosshair", ...values });
  }

  get prompting() {
    return this.session.prompting;
  }

  // {scan, axis, slice} of the pane, or null after saying why not.
  ready(pane) {
    const why = this.session.refusal(pane),
      at = why ? null : this.prompting.place(pane);
    if (!at) this.viewer.say(why || "This scan lies obliquely to the plane. Choose another scan or plane.");
    return at;
  }

  // A place's coordinates in the scan's slice, within it.
  coords(pane, index, { scan, axis }) {
    const found = inScan(pane, index);
    return inPlane(axis).map((n) => Math.max(0, Math.min(scan.shape[n] - 1, Math.round(found[n]))));
  }

  // The prompt under the pointer, and which of its corners is held: {prompt, corner} (corner null: all of it), or null.
  grip(at, pane) {
    const place = pane.place();
    for (const prompt of [...this.prompting.list].reverse()) {
      const corners = onScreen(this.prompting, prompt, pane, place);
      if (!corners) continue;
      const near = GRIP_PX * pane.ratio,
        [x, y] = at.screen,
        [a, b] = corners;
      if (prompt.type === "point") {
        if (Math.hypot(x - a[0], y - a[1]) < 1.5 * near) return { prompt, corner: null };
        continue;
      }
      const [x0, x1] = a[0] < b[0] ? [a[0], b[0]] : [b[0], a[0]],
        [y0, y1] = a[1] < b[1] ? [a[1], b[1]] : [b[1], a[1]];
      if (x < x0 - near || x > x1 + near || y < y0 - near || y > y1 + near) continue;
      const corner = [
        [a[0], a[1]],
        [b[0], a[1]],
        [a[0], b[1]],
        [b[0], b[1]],
      ].findIndex((c) => Math.hypot(x - c[0], y - c[1]) < 1.5 * near);
      if (corner >= 0) return { prompt, corner };
      if (Math.min(Math.abs(x - x0), Math.abs(x - x1), Math.abs(y - y0), Math.abs(y - y1)) < near)
        return { prompt, corner: null };
    }
    return null;
  }

  hover(at, pane) {
    const found = at?.screen && pane.planeName !== "mip" ? this.grip(at, pane) : null,
      before = this.prompting.chosen;
    pane.canvas.style.cursor = !found ? "crosshair" : found.corner === null ? "move" : "nwse-resize";
    this.prompting.chosen = found?.prompt ?? null;
    if (before !== this.prompting.chosen) pane.draw();
  }

  // Where a held prompt goes while the pointer is at `now`.
  moved({ corner, from, coords }, now, { scan, axis }) {
    const shift = now.map((v, n) => v - from[n]),
      most = inPlane(axis).map((n) => scan.shape[n] - 1),
      fit = (v, n) => Math.max(0, Math.min(most[n % 2], v));
    if (corner === null) return coords.map((v, n) => fit(v + shift[n % 2], n));
    const [x0, y0, x1, y1] = coords,
      x = [x0, x1],
      y = [y0, y1];
    x[corner % 2] = fit(x[corner % 2] + shift[0], 0);
    y[corner >> 1] = fit(y[corner >> 1] + shift[1], 1);
    return [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)];
  }

  down(at, pane) {
    const place = this.ready(pane);
    this.drag = null;
    if (!place) return;
    const grip = this.grip(at, pane),
      from = this.coords(pane, at.index, place);
    this.drag = grip ? { ...grip, from, coords: grip.prompt.coords, place, pane } : this.begin(from, place, pane);
  }

  move(at, pane) {
    const { drag } = this;
    if (!drag || !at.index) return;
    const now = this.coords(pane, at.index, drag.place);
    if (drag.prompt) drag.prompt.coords = this.moved(drag, now, drag.place);
    else drag.to = now;
    pane.draw();
  }

  up(at, pane) {
    const { drag } = this;
    this.drag = null;
    if (!drag || !at.index) return;
    const now = this.coords(pane, at.index, drag.place);
    if (!drag.prompt) this.finish(drag, now);
    else if (now.join() !== drag.from.join()) this.prompting.move(drag.prompt, this.moved(drag, now, drag.place));
    pane.draw();
  }

  leave() {
    if (this.drag?.prompt) this.drag.prompt.coords = this.drag.coords;
    this.drag = null;
  }
}

class BoxTool extends PromptTool {
  constructor(session) {
    super(session, { name: "box", label: "Box", title: "Box around the lesion", key: "b" });
  }

  begin(from, place, pane) {
    return { from, to: from, place, pane };
  }

  finish({ from, place: { scan, axis, slice } }, to) {
    const [x0, x1] = [from[0], to[0]].sort((p, q) => p - q),
      [y0, y1] = [from[1], to[1]].sort((p, q) => p - q);
    if (x0 === x1 || y0 === y1) return;
    this.prompting.add({ type: "box", scan: scan.scan_id, axis, slice, coords: [x0, y0, x1, y1] });
  }

  // Draws for all three tools: prompts are seen whatever the tool.
  draw(g, pane, place) {
    const { prompting } = this;
    if (pane.series !== this.session.series || pane.planeName === "mip") return;
    drawAnswer(g, pane, prompting.preview);
    for (const prompt of prompting.list) drawPrompt(g, pane, place, prompting, prompt);
    const { drag } = this;
    if (drag?.pane !== pane || drag.prompt || drag.from.join() === drag.to.join()) return;
    const { scan, axis, slice } = drag.place,
      drawn = {
        type: "box",
        scan: scan.scan_id,
        axis,
        slice,
        coords: [...drag.from, ...drag.to],
        lesion: this.session.label,
      };
    drawPrompt(g, pane, place, prompting, drawn, true);
  }
}

class PointTool extends PromptTool {
  begin(from, place, pane) {
    return { from, place, pane };
  }

  finish({ place: { scan, axis, slice } }, coords) {
    this.prompting.add({ type: "point", scan: scan.scan_id, axis, slice, coords, positive: this.positive });
  }
}

// Two corners of a prompt on the canvas (device pixels), pixel edges included for boxes; null where this slice has it not.
function onScreen(prompting, prompt, pane, { x, y, sx, sy }) {
  const scan = prompting.scanOf(prompt),
    map = scan && prompting.mapOf(scan);
  if (!map || pane.series !== prompting.series || map.axisAlong(pane.plane.axis) !== prompt.axis) return null;
  const [u, v] = inPlane(prompt.axis),
    [x0, y0, x1 = x0, y1 = y0] = prompt.coords,
    half = prompt.type === "box" ? 0.5 : 0;
  const corners = [
    [Math.min(x0, x1) - half, Math.min(y0, y1) - half],
    [Math.max(x0, x1) + half, Math.max(y0, y1) + half],
  ].map(([a, b]) => {
    const index = [0, 0, 0];
    [index[prompt.axis], index[u], index[v]] = [prompt.slice, a, b];
    return apply(map.toReference, index);
  });
  const thickness = Math.max(1, Math.hypot(...[0, 4, 8].map((n) => map.toReference[n + prompt.axis])));
  if (Math.abs(corners[0][pane.plane.axis] - pane.slice) > thickness / 2 + 1e-6) return null;
  return corners.map((index) => {
    const [px, py] = pane.plane.toPixel(index);
    return [x + px * sx, y + py * sy];
  });
}

function drawPrompt(g, pane, place, prompting, prompt, dashed = false) {
  const corners = onScreen(prompting, prompt, pane, place);
  if (!corners) return;
  const [a, b] = corners,
    r = pane.ratio,
    chosen = prompt === prompting.chosen;
  g.lineWidth = (chosen ? 3 : 2) * r;
  g.globalAlpha = prompt.kept && !chosen ? 0.55 : 1;
  g.strokeStyle = prompt.type === "box" ? BOX : prompt.positive ? PLUS : MINUS;
  g.setLineDash(dashed ? [6 * r, 4 * r] : []);
  if (prompt.type === "box") {
    g.strokeRect(a[0], a[1], b[0] - a[0], b[1] - a[1]);
    if (chosen)
      for (const x of [a[0], b[0]]) for (const y of [a[1], b[1]]) g.strokeRect(x - 3 * r, y - 3 * r, 6 * r, 6 * r);
  } else {
    g.beginPath();
    g.moveTo(a[0] - 5 * r, a[1]);
    g.lineTo(a[0] + 5 * r, a[1]);
    if (prompt.positive) {
      g.moveTo(a[0], a[1] - 5 * r);
      g.lineTo(a[0], a[1] + 5 * r);
    }
    g.moveTo(a[0] + 8 * r, a[1]);
    g.arc(a[0], a[1], 8 * r, 0, 2 * Math.PI);
    g.stroke();
  }
  g.setLineDash([]);
  g.globalAlpha = 1;
}

// The answer that is not yet kept: a white dashed line.
function drawAnswer(g, pane, preview) {
  const found = preview?.array ? pane.contours(preview) : null;
  if (!found) return;
  const at = pane.place(),
    shape = new Path2D();
  for (const path of found.paths.values()) shape.addPath(path, { a: at.sx, d: at.sy, e: at.x, f: at.y });
  g.lineWidth = 4 * pane.ratio;
  g.strokeStyle = "rgba(0,0,0,.6)";
  g.stroke(shape);
  g.lineWidth = 2 * pane.ratio;
  g.strokeStyle = "#fff";
  g.setLineDash([5 * pane.ratio, 3 * pane.ratio]);
  g.stroke(shape);
  g.setLineDash([]);
}

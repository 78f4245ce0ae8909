// The tools that draw labels by hand: brush, eraser, polygon, and a click on a piece to keep or remove it.
// `session` is editing.js's Editing: the editor, the lesion, and what the tools are set to.
import { apply, multiply } from "../lib/geometry.js";

const NEAR_PX = 10,
  LASSO_PX = 40;

// Which voxels a threshold-limited tool may add: those whose value in the shown scan lies within the limits.
function allowed(session, pane) {
  const { limit, low, high } = session.options;
  if (!limit) return null;
  const { volume } = pane,
    { reference } = pane.series,
    inside = (v) => v !== null && v >= low && v <= high;
  if (volume.scan.sha256 === reference.sha256) return (p) => inside(volume.data[p] * volume.slope + volume.intercept);
  const [I, J] = reference.shape;
  return (p) =>
    inside(volume.valueAt(apply(reference.affine, [p % I, Math.floor(p / I) % J, Math.floor(p / (I * J))])));
}

class Pen {
  constructor(session, values) {
    Object.assign(this, { session, viewer: session.viewer, kind: "Draw", cursor: "crosshair", ...values });
  }

  // True where one can draw; says why not otherwise.
  ready(pane) {
    const why = this.session.refusal(pane);
    if (why) this.viewer.say(why);
    return !why;
  }
}

class Brush extends Pen {
  down(at, pane, event) {
    this.held = this.ready(pane) ? at.index : null;
    if (!this.held) return;
    const { session } = this,
      { editor } = session;
    this.on = this.adds !== event.shiftKey; // with shift a brush erases, and an eraser paints
    this.allow = this.on ? allowed(session, pane) : null;
    editor.begin(`${this.on ? "brush" : "erase"} ${session.lesionName}`, session.label);
    this.paint(at, at, pane);
  }

  paint(from, to, pane) {
    const { session } = this,
      { radiusMm, ball } = session.options;
    session.editor.stroke(from.index, to.index, radiusMm, pane.plane.axis, { ball, on: this.on, allow: this.allow });
    pane.labelsChanged();
  }

  move(at, pane) {
    this.hover(at, pane);
    if (!this.held || !at.index) return;
    this.paint({ index: this.held }, at, pane);
    this.held = at.index;
  }

  up(_at, pane) {
    if (!this.held) return;
    this.held = null;
    if (!this.session.editor.commit())
      this.viewer.say(this.on ? this.nothing() : `There is nothing of ${this.session.lesionName} here to erase.`);
    pane.draw();
  }

  nothing() {
    return this.session.options.limit
      ? "No voxel here has a value within the limits."
      : "Another lesion is here already, or this one: nothing to add.";
  }

  hover(at, pane) {
    this.over = at?.index ? { pane, index: at.index } : null;
    pane.draw();
  }

  leave() {
    this.held = null;
    this.session.editor?.commit();
    const pane = this.over?.pane;
    this.over = null;
    pane?.draw();
  }

  draw(g, pane, { x, y, sx, sy, scale }) {
    if (this.over?.pane !== pane || this.viewer.tool !== this.name || pane.planeName === "mip") return;
    const [px, py] = pane.plane.toPixel(this.over.index);
    g.strokeStyle = this.adds ? "#fff" : "#e5786d";
    g.lineWidth = 1.2 * pane.ratio;
    g.beginPath();
    g.arc(x + px * sx, y + py * sy, Math.max(2, this.session.options.radiusMm * scale), 0, 2 * Math.PI);
    g.stroke();
  }
}

// Corners by clicks, or a line drawn freely; closed by Enter, a double click, or at its beginning.
class Polygon extends Pen {
  down(at, pane, event) {
    if (!this.ready(pane)) return;
    if (this.points && (this.pane !== pane || this.slice !== pane.slice)) this.leave();
    if (this.points && (event.detail > 1 || this.isFirst(at, pane))) return void this.enter(event);
    Object.assign(this, {
      pane,
      slice: pane.slice,
      points: [...(this.points ?? []), at.index],
      free: 0,
      last: at.screen,
    });
    pane.draw();
  }

  isFirst(at, pane) {
    return this.points.length > 2 && this.apart(at.screen, this.screen(this.points[0], pane)) < NEAR_PX * pane.ratio;
  }
  apart(a, b) {
    return Math.hypot(a[0] - b[0], a[1] - b[1]);
  }
  screen(index, pane) {
    const { x, y, sx, sy } = pane.place(),
      [px, py] = pane.plane.toPixel(index);
    return [x + px * sx, y + py * sy];
  }

  move(at, pane) {
    if (!this.points || pane !== this.pane || this.apart(at.screen, this.last) < 3 * pane.ratio) return;
    this.free += this.apart(at.screen, this.last);
    this.last = at.screen;
    this.points.push(at.index);
    pane.draw();
  }

  up(_at, pane, event) {
    if (this.points && this.free > LASSO_PX * pane.ratio) this.enter(event);
  }

  hover(at, pane) {
    this.next = at?.index ?? null;
    if (this.points) pane.draw();
  }

  enter(event) {
    const { session, points, pane } = this;
    this.points = null;
    if (!points) return false;
    const on = !event?.shiftKey,
      done = session.editor.polygon(points, pane.plane.axis, session.label, on, on ? allowed(session, pane) : null);
    if (!done) this.viewer.say("The polygon holds no voxel that could change.");
    pane.labelsChanged();
    return true;
  }

  back() {
    if (!this.points) return false;
    this.points.pop();
    if (!this.points.length) this.points = null;
    this.pane.draw();
    return true;
  }

  leave() {
    const { pane } = this;
    this.points = null;
    pane?.draw();
  }

  draw(g, pane) {
    if (!this.points || pane !== this.pane || pane.slice !== this.slice) return;
    const corners = [...this.points, ...(this.next ? [this.next] : [])].map((index) => this.screen(index, pane));
    g.strokeStyle = "#fff";
    g.lineWidth = 1.5 * pane.ratio;
    g.beginPath();
    for (const [x, y] of corners) g.lineTo(x, y); // the first only begins the line
    g.stroke();
    g.strokeRect(corners[0][0] - 4 * pane.ratio, corners[0][1] - 4 * pane.ratio, 8 * pane.ratio, 8 * pane.ratio);
  }
}

class Piece extends Pen {
  down(at, pane) {
    if (!this.ready(pane)) return;
    const { editor } = this.session,
      { shape } = editor,
      [i, j, k] = at.voxel;
    if (!editor.labelAt(at.voxel)) return void this.viewer.say("There is no lesion under the pointer. Click on one.");
    const done = editor.piece(i + shape[0] * (j + shape[1] * k), this.keep);
    if (!done) this.viewer.say("The lesion is in one piece already.");
    pane.labelsChanged();
  }
}

export function penTools(session) {
  return [
    new Brush(session, { name: "brush", label: "Brush", title: "Brush; with shift it erases", key: "r", adds: true }),
    new Brush(session, { name: "erase", label: "Erase", title: "Eraser of the chosen lesion", key: "u", adds: false }),
    new Polygon(session, {
      name: "polygon",
      label: "Polygon",
      title: "Polygon or free line; with shift it cuts out",
      key: "c",
    }),
    new Piece(session, {
      name: "keep",
      label: "Isolate",
      title: "Keep only the piece that is clicked",
      key: "5",
      keep: true,
    }),
    new Piece(session, {
      name: "remove",
      label: "Delete",
      title: "Remove the piece that is clicked",
      key: "6",
      keep: false,
    }),
  ];
}

// Index of the frame's grid -> voxel index (fractional) of the shown scan.
export const inScan = (pane, index) => apply(multiply(pane.volume.inverse, pane.frame.toMm), index);

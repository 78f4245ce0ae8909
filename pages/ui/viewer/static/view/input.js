// Mouse, pen and fingers on a pane. Left: the chosen tool; right: window; middle or space: pan; wheel: slices, with
// ctrl zoom. One finger scrolls (or uses a drawing tool), two zoom and pan, a tap puts the crosshair.
import { pan, scroll, zoom } from "./moving.js";

/** @import { PointerPlace } from "../lib/types.d.ts" */
/** @import { Pane } from "./pane.js" */
/** @import { Viewer } from "./viewer.js" */

/**
 * What a held pointer does. `kind`: the name of a tool, "window", "pan", "finger" or "pinch"; `held`: the tool follows
 * it.
 * @typedef {{kind: string, held: boolean, x: number, y: number, firstX: number, firstY: number, scrolled: number}} Drag
 */

const TAP_PX = 6,
  FINGER_PX_A_SLICE = 9,
  DRAG_PX_A_SLICE = 5;

/**
 * @param {Viewer} viewer
 * @param {Pane} pane
 */
export function bindPointer(viewer, pane) {
  const { canvas } = pane;
  /** @type {Map<number, PointerEvent>} */
  const fingers = new Map();
  /** @type {Drag | null} */
  let drag = null;
  const chosen = () => viewer.tools.get(viewer.tool);
  canvas.style.cursor = chosen()?.cursor ?? "crosshair";
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  bindWheel(viewer, pane);

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button === 1) event.preventDefault();
    canvas.focus({ preventScroll: true });
    viewer.activate(pane);
    try {
      canvas.setPointerCapture(event.pointerId);
    } catch {
      /* a pointer that is gone already */
    }
    fingers.set(event.pointerId, event);
    drag = begin(viewer, pane, event, fingers.size > 1);
  });

  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return chosen()?.hover?.(pane.locate(event), pane);
    const before = fingers.get(event.pointerId);
    if (drag.kind === "pinch") pinch(pane, fingers, before, event);
    else follow(viewer, pane, drag, event);
    fingers.set(event.pointerId, event);
  });

  canvas.addEventListener("pointerleave", () => chosen()?.hover?.(null, pane));

  /** @param {PointerEvent} event */
  const end = (event) => {
    fingers.delete(event.pointerId);
    if (!drag) return;
    const still = Math.hypot(event.clientX - drag.firstX, event.clientY - drag.firstY) < TAP_PX;
    const at = pane.locate(event);
    if (drag.held) viewer.tools.get(drag.kind)?.up?.(at, pane, event);
    if (drag.kind === "finger" && still && at.mm) viewer.setCursor(pane.frame.master.series, at.mm);
    if (!fingers.size) drag = null;
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
}

/**
 * @param {Viewer} viewer
 * @param {Pane} pane
 */
function bindWheel(viewer, pane) {
  let turned = 0;
  /** @param {WheelEvent} event */
  const wheel = (event) => {
    event.preventDefault();
    viewer.activate(pane);
    if (event.ctrlKey) return zoom(pane, Math.exp(-event.deltaY * 0.0015), pane.locate(event).screen);
    turned += event.deltaMode ? event.deltaY * 33 : event.deltaY; // a touchpad's small steps add up to a slice
    const steps = Math.abs(event.deltaY) >= 50 || event.deltaMode ? Math.sign(event.deltaY) : Math.trunc(turned / 30);
    if (!steps) return;
    turned = 0;
    scroll(pane, -steps);
  };
  pane.canvas.addEventListener("wheel", wheel, { passive: false });
}

/**
 * @param {Viewer} viewer
 * @param {Pane} pane
 * @param {PointerEvent} event
 * @param {boolean} second another finger is down already
 * @returns {Drag}
 */
function begin(viewer, pane, event, second) {
  const from = { x: event.clientX, y: event.clientY, firstX: event.clientX, firstY: event.clientY, scrolled: 0 };
  if (second) return { kind: "pinch", held: false, ...from };
  const at = pane.locate(event),
    name = viewer.registering?.toolOf(event) ?? viewer.tool,
    tool = viewer.tools.get(name);
  let kind = event.button === 2 ? "window" : event.button === 1 || viewer.spaceHeld ? "pan" : name;
  if (kind === "cross" && event.pointerType === "touch") kind = "finger";
  const held = tool?.down !== undefined && kind === name;
  if (held) tool.down?.(at, pane, event);
  if (kind === "cross") putCursor(viewer, pane, at);
  return { kind, held, ...from };
}

/**
 * @param {Viewer} viewer
 * @param {Pane} pane
 * @param {Drag} drag
 * @param {PointerEvent} event
 */
function follow(viewer, pane, drag, event) {
  const dx = event.clientX - drag.x,
    dy = event.clientY - drag.y,
    ratio = devicePixelRatio || 1;
  [drag.x, drag.y] = [event.clientX, event.clientY];
  if (drag.held) return viewer.tools.get(drag.kind)?.move?.(pane.locate(event), pane, event);
  if (drag.kind === "window") return changeWindow(viewer, pane, dx, dy);
  if (drag.kind === "pan") return pan(pane, dx * ratio, dy * ratio);
  if (drag.kind === "cross") return putCursor(viewer, pane, pane.locate(event));
  const step = drag.kind === "finger" ? FINGER_PX_A_SLICE : drag.kind === "scroll" ? DRAG_PX_A_SLICE : 0;
  if (!step) return;
  const wanted = Math.trunc((drag.firstY - event.clientY) / step);
  if (wanted !== drag.scrolled) scroll(pane, wanted - drag.scrolled);
  drag.scrolled = wanted;
}

/**
 * Across: width; down: centre. A drag over the pane's width goes through about twice the present width.
 * @param {Viewer} viewer
 * @param {Pane} pane
 * @param {number} dx
 * @param {number} dy
 */
function changeWindow(viewer, pane, dx, dy) {
  const { scan } = pane.volume,
    [centre, width] = viewer.levels.windowOf(scan),
    step = Math.max(width, 20 * scan.slope) / 250;
  viewer.levels.setWindow(scan, [centre + dy * step, width + 2 * dx * step]);
}

/**
 * On a plane the cursor goes to the place; on a projection to that height, and where the body is brightest along that
 * line of sight is left to the eye.
 * @param {Viewer} viewer
 * @param {Pane} pane
 * @param {PointerPlace} at
 */
function putCursor(viewer, pane, at) {
  if (at.mm) return viewer.setCursor(pane.frame.master.series, at.mm);
  const { n, back, file } = pane.projection.axis[2],
    height = Math.max(0, Math.min(n - 1, Math.floor(at.pixel[1])));
  const { inverse, affine } = pane.volume,
    [x, y, z] = viewer.cursorOf(pane.series);
  const wanted = back ? height : n - 1 - height,
    now = inverse[4 * file] * x + inverse[4 * file + 1] * y + inverse[4 * file + 2] * z + inverse[4 * file + 3],
    steps = wanted - now;
  viewer.setCursor(pane.series, [x + steps * affine[file], y + steps * affine[4 + file], z + steps * affine[8 + file]]);
}

/**
 * @param {Pane} pane
 * @param {Map<number, PointerEvent>} fingers
 * @param {PointerEvent | undefined} before where this finger was
 * @param {PointerEvent} event
 */
function pinch(pane, fingers, before, event) {
  const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
  if (!other || !before) return;
  const ratio = devicePixelRatio || 1;
  /** @param {PointerEvent} e */
  const apart = (e) => Math.hypot(e.clientX - other.clientX, e.clientY - other.clientY);
  pan(pane, ((event.clientX - before.clientX) / 2) * ratio, ((event.clientY - before.clientY) / 2) * ratio);
  if (apart(before) > 10) zoom(pane, apart(event) / apart(before), pane.locate(event).screen);
}

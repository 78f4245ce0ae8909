// Mouse, pen and fingers on a pane. Left: the chosen tool; right: window; middle or space: pan; wheel: slices, with ctrl
// zoom. One finger scrolls (or uses a drawing tool), two zoom and pan, a tap puts the crosshair.

const TAP_PX = 6,
  FINGER_PX_A_SLICE = 9,
  DRAG_PX_A_SLICE = 5;

export function bindPointer(viewer, pane) {
  const { canvas } = pane,
    fingers = new Map();
  let drag = null,
    turned = 0;
  canvas.style.cursor = viewer.tools.get(viewer.tool)?.cursor ?? "crosshair";
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      viewer.activate(pane);
      if (event.ctrlKey) return viewer.zoom(pane, Math.exp(-event.deltaY * 0.0015), pane.locate(event).screen);
      turned += event.deltaMode ? event.deltaY * 33 : event.deltaY; // a touchpad's small steps add up to a slice
      const steps = Math.abs(event.deltaY) >= 50 || event.deltaMode ? Math.sign(event.deltaY) : Math.trunc(turned / 30);
      if (!steps) return;
      turned = 0;
      viewer.scroll(pane, -steps);
    },
    { passive: false },
  );

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
    if (fingers.size > 1) {
      drag = { kind: "pinch" };
      return;
    }
    const at = pane.locate(event),
      tool = viewer.tools.get(viewer.tool);
    let kind = event.button === 2 ? "window" : event.button === 1 || viewer.spaceHeld ? "pan" : viewer.tool;
    if (kind === "cross" && event.pointerType === "touch") kind = "finger";
    const held = tool?.down && kind === viewer.tool ? tool.down(at, pane, event) !== false : false;
    drag = {
      kind,
      held,
      x: event.clientX,
      y: event.clientY,
      firstX: event.clientX,
      firstY: event.clientY,
      scrolled: 0,
    };
    if (kind === "cross" && at.mm) viewer.setCursor(pane.frame.master.series, at.mm);
    if (kind === "cross" && pane.planeName === "mip") pickFromProjection(viewer, pane, at);
  });

  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return void viewer.tools.get(viewer.tool)?.hover?.(pane.locate(event), pane);
    const before = fingers.get(event.pointerId);
    if (drag.kind === "pinch") pinch(viewer, pane, fingers, before, event);
    else follow(viewer, pane, drag, event);
    fingers.set(event.pointerId, event);
  });

  canvas.addEventListener("pointerleave", () => viewer.tools.get(viewer.tool)?.hover?.(null, pane));

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

function follow(viewer, pane, drag, event) {
  const dx = event.clientX - drag.x,
    dy = event.clientY - drag.y,
    ratio = devicePixelRatio || 1;
  [drag.x, drag.y] = [event.clientX, event.clientY];
  if (drag.held) return viewer.tools.get(drag.kind)?.move?.(pane.locate(event), pane, event);
  if (drag.kind === "window") return changeWindow(viewer, pane, dx, dy);
  if (drag.kind === "pan") return viewer.pan(pane, dx * ratio, dy * ratio);
  if (drag.kind === "cross") {
    const at = pane.locate(event);
    if (at.mm) viewer.setCursor(pane.frame.master.series, at.mm);
    else pickFromProjection(viewer, pane, at);
    return;
  }
  const step = drag.kind === "finger" ? FINGER_PX_A_SLICE : drag.kind === "scroll" ? DRAG_PX_A_SLICE : 0;
  if (!step) return;
  const wanted = Math.trunc((drag.firstY - event.clientY) / step);
  if (wanted !== drag.scrolled) viewer.scroll(pane, wanted - drag.scrolled);
  drag.scrolled = wanted;
}

// Across: width; down: centre. A drag over the pane's width goes through about twice the present width.
function changeWindow(viewer, pane, dx, dy) {
  const { scan } = pane.volume,
    [centre, width] = viewer.levels.windowOf(scan),
    step = Math.max(width, 20 * scan.slope) / 250;
  viewer.levels.setWindow(scan, [centre + dy * step, width + 2 * dx * step]);
}

// A press on a projection goes to that height, where the body is brightest along that line of sight is left to the eye.
function pickFromProjection(viewer, pane, at) {
  const m = pane.projection,
    index = m.axis[2],
    height = Math.max(0, Math.min(index.n - 1, Math.floor(at.pixel[1])));
  const { volume } = pane,
    place = viewer.cursorOf(pane.series),
    file = index.file;
  const wanted = index.back ? height : index.n - 1 - height;
  const now =
    volume.inverse[4 * file] * place[0] +
    volume.inverse[4 * file + 1] * place[1] +
    volume.inverse[4 * file + 2] * place[2] +
    volume.inverse[4 * file + 3];
  viewer.setCursor(
    pane.series,
    place.map((v, n) => v + (wanted - now) * volume.affine[4 * n + file]),
  );
}

function pinch(viewer, pane, fingers, before, event) {
  const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
  if (!other || !before) return;
  const ratio = devicePixelRatio || 1,
    apart = (e) => Math.hypot(e.clientX - other.clientX, e.clientY - other.clientY);
  viewer.pan(pane, ((event.clientX - before.clientX) / 2) * ratio, ((event.clientY - before.clientY) / 2) * ratio);
  if (apart(before) > 10) viewer.zoom(pane, apart(event) / apart(before), pane.locate(event).screen);
}

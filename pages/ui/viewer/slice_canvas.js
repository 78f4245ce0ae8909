// One slice with prompts drawn on it. The picture comes from the server; a box or point goes back in screen voxels.
const BOX = "#F0E442", PLUS = "#6CC3A0", MINUS = "#E5786D";

function draw(state) {
  const { canvas, picture, data } = state;
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width || !height) return;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const g = canvas.getContext("2d");
  g.scale(ratio, ratio);
  g.fillStyle = "#000";
  g.fillRect(0, 0, width, height);
  const fit = Math.min(width / (data.columns * data.pixel[0]), height / (data.rows * data.pixel[1]));
  const place = { w: data.columns * data.pixel[0] * fit, h: data.rows * data.pixel[1] * fit };
  place.x = (width - place.w) / 2;
  place.y = (height - place.h) / 2;
  state.place = place;
  g.imageSmoothingEnabled = true;
  if (picture.complete && picture.naturalWidth) g.drawImage(picture, place.x, place.y, place.w, place.h);
  const at = (column, row) => [place.x + (column / data.columns) * place.w, place.y + (row / data.rows) * place.h];
  g.lineWidth = 2;
  for (const prompt of state.drag ? [...data.prompts, state.drag] : data.prompts) {
    if (prompt.type === "box") {
      g.strokeStyle = BOX;
      const [x0, y0] = at(Math.min(prompt.c0, prompt.c1), Math.min(prompt.r0, prompt.r1));
      const [x1, y1] = at(Math.max(prompt.c0, prompt.c1) + 1, Math.max(prompt.r0, prompt.r1) + 1);
      g.strokeRect(x0, y0, x1 - x0, y1 - y0);
    } else {
      const [x, y] = at(prompt.c0 + 0.5, prompt.r0 + 0.5);
      g.strokeStyle = prompt.positive ? PLUS : MINUS;
      g.beginPath();
      g.moveTo(x - 6, y);
      g.lineTo(x + 6, y);
      if (prompt.positive) { g.moveTo(x, y - 6); g.lineTo(x, y + 6); }
      g.stroke();
      g.beginPath();
      g.arc(x, y, 9, 0, 2 * Math.PI);
      g.stroke();
    }
  }
  g.fillStyle = "#DDE3E8";
  g.font = "600 14px sans-serif";
  g.textAlign = "center";
  g.textBaseline = "middle";
  const [left, right, top, bottom] = data.letters;
  g.fillText(left, place.x + 12, height / 2);
  g.fillText(right, place.x + place.w - 12, height / 2);
  g.fillText(top, width / 2, place.y + 12);
  g.fillText(bottom, width / 2, place.y + place.h - 12);
  scaleBar(g, state, fit);
}

// Five or two centimetres, whichever fits: a length that readers can compare a lesion with.
function scaleBar(g, state, fit) {
  const { place } = state;
  const mm = 50 * fit < place.w / 3 ? 50 : 20;
  const x = place.x + place.w - 16 - mm * fit, y = place.y + place.h - 30;
  g.fillRect(x, y, mm * fit, 3);
  g.fillText(`${mm / 10} cm`, x + (mm * fit) / 2, y - 10);
}

function voxel(state, event) {
  const box = state.canvas.getBoundingClientRect(), { place, data } = state;
  const clamp = (value, n) => Math.max(0, Math.min(n - 1, Math.floor(value)));
  return [
    clamp(((event.clientX - box.left - place.x) / place.w) * data.columns, data.columns),
    clamp(((event.clientY - box.top - place.y) / place.h) * data.rows, data.rows),
  ];
}

function bind(state) {
  const { canvas } = state;
  canvas.onpointerdown = (event) => {
    if (event.button !== 0 || state.data.tool === "none") return;
    canvas.setPointerCapture(event.pointerId);
    const [c, r] = voxel(state, event);
    const type = state.data.tool === "box" ? "box" : "point";
    state.drag = { type, c0: c, r0: r, c1: c, r1: r, positive: state.data.tool !== "minus" };
    draw(state);
  };
  canvas.onpointermove = (event) => {
    if (!state.drag || state.drag.type !== "box") return;
    [state.drag.c1, state.drag.r1] = voxel(state, event);
    draw(state);
  };
  canvas.onpointerup = () => {
    const drag = state.drag;
    state.drag = null;
    if (!drag) return;
    if (drag.type === "box" && (drag.c0 === drag.c1 || drag.r0 === drag.r1)) return draw(state);
    state.send("prompt", drag);
  };
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const canvas = parentElement.querySelector("canvas");
  let state = canvas.twin;
  if (!state) {
    state = canvas.twin = { canvas, drag: null, picture: new Image() };
    state.picture.onload = () => draw(state);
    bind(state);
    state.watch = new ResizeObserver(() => draw(state));
    state.watch.observe(canvas);
  }
  state.data = data;
  state.send = setTriggerValue;
  canvas.setAttribute("aria-label", data.label);
  canvas.style.cursor = data.tool === "none" ? "default" : "crosshair";
  if (state.shown !== data.picture) {
    state.shown = data.picture;
    state.picture.src = data.picture;
  }
  draw(state);
  return () => state.watch.disconnect();
}

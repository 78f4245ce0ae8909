// Boxes and points, what the model answers to them, and what becomes of the answers. An answer is a preview until it is
// kept; the prompts stay, can be moved and deleted, and go into the draft and the version's sidecar.
import { fetchFrom } from "../lib/volume.js";
import { inPlane } from "../edit/shapes.js";
import { cropped, has, pack, SliceMap, unpack } from "./slice_answers.js";

const AHEAD_MS = 300,
  POLL_MS = 1500;
let made = 0;

// What the server is sent of a prompt. Which model answered it the server knows by itself.
const plain = ({ type, scan, axis, slice, coords, positive, lesion }) => ({
  type,
  scan,
  axis,
  slice,
  coords,
  positive,
  lesion,
});

export class Prompting {
  constructor(session) {
    Object.assign(this, {
      session,
      viewer: session.viewer,
      list: [],
      answers: new Map(),
      taken: [],
      preview: null,
      chosen: null,
      asking: 0,
      running: null,
      seconds: null,
    });
    Object.assign(this, { ready: new Set(), stops: [], sparing: true, asked: 0, problem: "" });
  }

  get series() {
    return this.session.series;
  }

  // As they are in the draft: voxel indices of the scan, and whether the answer was kept. Those that the version came with
  // are seen, but belong to the draft only once they are used again. `taken` are the answers that the draft has, as {key,
  // id} in the order in which they were kept: by these ids the server knows what it answered.
  get all() {
    return this.list.filter((prompt) => !prompt.old).map((prompt) => ({ ...plain(prompt), kept: prompt.kept }));
  }

  // Begins with the prompts of a draft, after those of the version that it is of.
  begin(ofDraft, ofVersion, answers = []) {
    this.stop();
    this.taken = this.asTaken(answers);
    const taken = (old) => (prompt) => ({ axis: 2, positive: true, lesion: 1, kept: true, ...prompt, id: made++, old });
    this.list = [...ofVersion.map(taken(true)), ...ofDraft.map(taken(false))].filter((prompt) => this.scanOf(prompt));
    this.clear();
  }

  // Answers by their ids alone, as they come with a draft.
  asTaken(ids) {
    return ids.map((id) => ({ key: id, id }));
  }

  // ---- where things are -----------------------------------------------------------------------------------------------
  scanOf(prompt) {
    return this.series.scans.find((scan) => scan.scan_id === prompt.scan || scan.channel === prompt.scan);
  }

  mapOf(scan) {
    scan.map ??= new SliceMap(scan, this.series.reference);
    return scan.map;
  }

  key({ scan, axis, slice, lesion }) {
    return `${scan} ${axis} ${slice} ${lesion}`;
  }

  // The shown scan's axis across a pane's slices and the slice that is seen; null where it lies obliquely to them.
  place(pane) {
    const { scan } = pane.volume,
      axis = this.mapOf(scan).axisAlong(pane.plane.axis);
    if (axis === null) return null;
    const index = this.viewer.cursorIndex(pane.frame.master),
      { toScan } = this.mapOf(scan);
    const at = [0, 1, 2].map(
      (n) => toScan[4 * n] * index[0] + toScan[4 * n + 1] * index[1] + toScan[4 * n + 2] * index[2] + toScan[4 * n + 3],
    );
    return { scan, axis, slice: Math.max(0, Math.min(scan.shape[axis] - 1, Math.round(at[axis]))) };
  }

  // ---- prompts ------------------------------------------------------------------------------------------------------
  add(prompt) {
    const full = { positive: true, lesion: this.session.label, ...prompt, id: made++, kept: false };
    const same = (other) => other.type === "box" && full.type === "box" && this.key(other) === this.key(full);
    this.list = [...this.list.filter((other) => !same(other)), full];
    this.chosen = full;
    this.session.promptsChanged(`${full.type} on slice ${full.slice}`);
    return this.ask(full);
  }

  move(prompt, coords) {
    Object.assign(prompt, { coords, kept: false, old: false });
    this.session.promptsChanged(`moved ${prompt.type}`);
    return this.ask(prompt);
  }

  deleteChosen() {
    const prompt = this.chosen;
    if (!prompt || !this.list.includes(prompt)) return this.viewer.say("Move the pointer onto a box or a point first.");
    this.list = this.list.filter((other) => other !== prompt);
    this.chosen = null;
    this.session.promptsChanged(`deleted ${prompt.type}`);
    const rest = this.list.find((other) => this.key(other) === this.key(prompt));
    if (rest && !prompt.kept) return this.ask(rest);
    this.answers.delete(this.key(prompt));
    this.rebuild();
  }

  // ---- the model's answers --------------------------------------------------------------------------------------------
  async ask(prompt) {
    const key = this.key(prompt),
      scan = this.scanOf(prompt),
      run = ++this.asked,
      began = performance.now();
    const used = this.list.filter((other) => this.key(other) === key),
      prompts = used.map(plain);
    for (const other of used) other.old = false;
    this.asking++;
    this.session.bar.refresh();
    try {
      const body = JSON.stringify({
        scan: scan.sha256,
        axis: prompt.axis,
        slice: prompt.slice,
        prompts,
        lesion: prompt.lesion,
      });
      const said = await (await fetchFrom(this.viewer.auth, "prompt", { method: "POST", body })).json();
      if (this.asked === run || !this.answers.get(key) || this.answers.get(key).run < run)
        this.take(prompt, { ...said, run });
      this.seconds = { ...said.seconds, shown: (performance.now() - began) / 1000 };
      if (!said.shape[0]) this.viewer.say("The model found nothing there. Draw the box nearer to the lesion.");
    } catch (error) {
      this.viewer.say(error.message);
    }
    this.asking--;
    this.session.bar.refresh();
  }

  take({ scan, axis, slice, lesion }, said) {
    const map = this.mapOf(this.scanOf({ scan })),
      answer = unpack(said);
    const key = this.key({ scan, axis, slice, lesion });
    const { answer_id: id, predicted_iou: iou, run } = said;
    this.answers.set(key, {
      key,
      id,
      scan,
      axis,
      slice,
      lesion,
      answer,
      iou,
      run,
      voxels: map.voxels(axis, slice, answer),
    });
    this.rebuild();
  }

  rebuild() {
    const voxels = [...this.answers.values()].flatMap((one) => one.voxels);
    this.preview = !this.answers.size
      ? null
      : !voxels.length
        ? { array: null }
        : { ...cropped(voxels, this.series.reference), id: "preview", revision: made++ };
    this.session.bar.refresh();
    this.viewer.draw();
  }

  clear() {
    this.answers.clear();
    this.stops = [];
    this.rebuild();
  }

  // The answers become part of the draft, in place of what the lesion had on those slices.
  keep() {
    const { editor, lesionName } = this.session;
    if (!this.answers.size || !editor) return false;
    this.stop();
    const byLesion = new Map();
    for (const one of this.answers.values()) byLesion.set(one.lesion, [...(byLesion.get(one.lesion) ?? []), one]);
    for (const [lesion, answers] of byLesion) {
      const voxels = new Map();
      for (const { scan, axis, slice } of answers) {
        this.mapOf(this.scanOf({ scan })).visit(axis, slice, (p) => {
          if (editor.array[p] === lesion) voxels.set(p, false);
        });
      }
      for (const one of answers) for (const p of one.voxels) voxels.set(p, true);
      const where = answers.length === 1 ? `slice ${answers[0].slice}` : `${answers.length} slices`;
      const others = this.taken.filter(({ key }) => !answers.some((one) => one.key === key));
      const taken = {
        before: this.taken,
        after: [...others, ...answers.filter(({ id }) => id).map(({ key, id }) => ({ key, id }))],
      };
      if (!editor.keep(`MedSAM's answer for L${lesion} on ${where}`, lesion, voxels, this.sparing, taken))
        this.viewer.say(`${lesionName} is just so already.`);
    }
    for (const prompt of this.list) {
      if (this.answers.has(this.key(prompt))) prompt.kept = true;
    }
    this.clear();
    this.session.promptsChanged("kept an answer");
    return true;
  }

  // Gives up the answers and the prompts that were not kept.
  drop() {
    const before = this.list.length,
      had = this.answers.size;
    this.stop();
    this.list = this.list.filter((prompt) => prompt.kept);
    this.clear();
    if (before !== this.list.length) this.session.promptsChanged("dropped prompts");
    return Boolean(had || before !== this.list.length);
  }

  // A box around what the lesion has on its largest slice in this plane: the network's answer as the starting prompt.
  fromLesion() {
    const { session, viewer } = this,
      pane = viewer.active,
      why = session.refusal(pane);
    if (why) return viewer.say(why);
    const { label, editor } = session,
      { axis } = pane.plane;
    const counts = Array.from({ length: editor.shape[axis] }, () => 0),
      size = editor.shape;
    for (let p = 0; p < editor.array.length; p++) {
      if (editor.array[p] === label)
        counts[
          axis === 0
            ? p % size[0]
            : axis === 1
              ? Math.floor(p / size[0]) % size[1]
              : Math.floor(p / (size[0] * size[1]))
        ]++;
    }
    const slice = counts.indexOf(Math.max(...counts));
    if (!counts[slice]) return viewer.say(`${session.lesionName} has no voxels yet: draw a box.`);
    viewer.goTo(pane, slice);
    const box = editor.boxOn(label, axis, slice),
      [u, v] = inPlane(axis),
      at = this.place(pane);
    if (!at) return viewer.say("This scan lies obliquely to the plane. Choose another scan or plane.");
    const corners = [
      [box[0], box[1]],
      [box[2], box[3]],
    ].map(([x, y]) => {
      const index = [0, 0, 0];
      [index[axis], index[u], index[v]] = [slice, x, y];
      const m = this.mapOf(at.scan).toScan,
        found = [0, 1, 2].map(
          (n) => m[4 * n] * index[0] + m[4 * n + 1] * index[1] + m[4 * n + 2] * index[2] + m[4 * n + 3],
        );
      return inPlane(at.axis).map((n) => Math.max(0, Math.min(at.scan.shape[n] - 1, Math.round(found[n]))));
    });
    const [[x0, y0], [x1, y1]] = corners;
    this.add({
      type: "box",
      scan: at.scan.scan_id,
      axis: at.axis,
      slice: at.slice,
      coords: [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)],
    });
  }

  // ---- through the slices ---------------------------------------------------------------------------------------------
  // how: "all", "here" (to the slice that is seen), "from" (anew from the slice that is seen, outwards).
  async propagate(how) {
    const { viewer, session } = this,
      pane = viewer.active,
      why = session.refusal(pane),
      at = why ? null : this.place(pane);
    if (why) return viewer.say(why);
    if (at?.axis !== 2)
      return viewer.say("Going through the slices works on the planes of the file (k). Choose that plane.");
    const lesion = session.label,
      prompts = this.list.filter((p) => p.axis === 2 && p.scan === at.scan.scan_id && p.lesion === lesion);
    const request = { scan: at.scan.sha256, lesion, prompts: prompts.map(plain), from: null, until: null };
    if (how === "from") {
      request.from = { slice: at.slice, ...this.maskOn(at, lesion) };
      if (!request.from.shape[0]) return viewer.say(`${session.lesionName} has nothing on this slice to go on from.`);
    } else if (!prompts.length) return viewer.say("Draw a box around the lesion first.");
    if (how === "here") {
      const slices = [...prompts.map((p) => p.slice), at.slice];
      request.until = [Math.min(...slices), Math.max(...slices)];
    }
    this.stop();
    if (!request.from) for (const prompt of prompts) prompt.old = false;
    const run = { abort: new AbortController(), slices: 0 };
    this.running = run;
    this.stops = [];
    session.bar.refresh();
    try {
      const answer = await fetchFrom(viewer.auth, "propagate", {
        method: "POST",
        body: JSON.stringify(request),
        signal: run.abort.signal,
      });
      await this.read(answer, (line) => this.step(line, run, at.scan.scan_id, lesion));
    } catch (error) {
      if (error.name !== "AbortError") viewer.say(error.message);
    }
    if (this.running === run) this.running = null;
    session.bar.refresh();
  }

  async read(answer, line) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const part of parts) line(JSON.parse(part));
    }
  }

  step(said, run, scan, lesion) {
    if (said.error) return this.viewer.say(said.error);
    if (said.stops) {
      this.stops = said.stops;
      return;
    }
    if (this.running !== run) return;
    run.slices++;
    run.slice = said.slice;
    this.take({ scan, axis: 2, slice: said.slice, lesion }, said);
  }

  stop() {
    this.running?.abort.abort();
    this.running = null;
  }

  // The lesion on a slice, of the preview where it has one: what `from` wants.
  maskOn({ scan, axis, slice }, lesion) {
    const known = this.answers.get(this.key({ scan: scan.scan_id, axis, slice, lesion })),
      map = this.mapOf(scan),
      { array } = this.session.editor;
    const test = known
      ? (a, b) => has(known.answer, a, b)
      : (a, b) => {
          const p = map.nearest(axis, slice, a, b);
          return p >= 0 && array[p] === lesion;
        };
    return pack(
      inPlane(axis).map((n) => scan.shape[n]),
      test,
    );
  }

  // ---- ahead of the cursor ----------------------------------------------------------------------------------------------
  moved() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ahead(), AHEAD_MS);
  }

  // Has the slices around the cursor embedded. Until a prompt tool is chosen only once, which also wakes the model up.
  async ahead() {
    const pane = this.viewer.active,
      working = this.viewer.tools.get(this.viewer.tool)?.kind === "Prompt";
    if (
      !pane ||
      pane.planeName === "mip" ||
      pane.series !== this.series ||
      (this.woken && !working) ||
      !this.session.editor
    )
      return;
    const at = this.place(pane);
    if (!at) return;
    this.woken = true;
    try {
      const body = JSON.stringify({ scan: at.scan.sha256, axis: at.axis, slice: at.slice });
      const said = await (await fetchFrom(this.viewer.auth, "ahead", { method: "POST", body })).json();
      this.ready = new Set(said.embedded);
      this.problem = "";
      this.embedding = said.queued;
      if (working && said.queued && !this.closed) this.timer = setTimeout(() => this.ahead(), POLL_MS);
    } catch (error) {
      this.problem = error.message;
    }
    this.session.bar.refresh();
  }

  // How soon the model could answer on the slice that is seen.
  get readiness() {
    const pane = this.viewer.active,
      at = pane?.series === this.series && pane.planeName !== "mip" ? this.place(pane) : null;
    if (this.problem) return this.problem;
    if (!at) return "";
    return this.ready.has(at.slice)
      ? "the model is ready for this slice"
      : `preparing the slices around (${this.embedding ?? "…"} to go)`;
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.stop();
  }
}

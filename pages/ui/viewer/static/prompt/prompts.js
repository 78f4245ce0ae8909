// Boxes and points, what the model answers to them, and what becomes of the answers. An answer is a preview until it is
// kept; the prompts stay, can be moved and deleted, and go into the draft and the version's sidecar.
import { apply, rounded } from "../lib/geometry.js";
import { fetchFrom, messageOf } from "../lib/requests.js";
import { Ahead } from "./ahead.js";
import { Propagation } from "./propagation.js";
import { cropped, SliceMap, unpack } from "./slice_answers.js";

/** @import { Answer, LabelMap, PackedBits, Prompt, PromptReply, Scan, ScanSlice } from "../lib/types.d.ts" */
/** @import { Seconds, StoredPrompt, TakenAnswer } from "../lib/types.d.ts" */
/** @import { Editing } from "../edit/editing.js" */
/** @import { Pane } from "../view/pane.js" */

/**
 * A slice of a scan (its scan_id) and a lesion on it: what one answer is for.
 * @typedef {Pick<Prompt, "scan" | "axis" | "slice" | "lesion">} Subject
 */

let made = 0;

export class Prompting {
  /** @type {Prompt[]} */
  list = [];
  /** answers that are not kept yet, by their subject's key @type {Map<string, Answer>} */
  answers = new Map();
  /** answers that the draft has, in the order in which they were kept @type {TakenAnswer[]} */
  taken = [];
  /** the answers as a label map; its array is null where nothing was found @type {LabelMap | {array: null} | null} */
  preview = null;
  /** the prompt under the pointer @type {Prompt | null} */
  chosen = null;
  /** questions that are not answered yet */
  asking = 0;
  /** number of the last question */
  asked = 0;
  /** how long the last answer took @type {(Seconds & {shown: number}) | null} */
  seconds = null;
  /** what was drawn by hand stays when an answer is kept */
  sparing = true;
  propagation = new Propagation(this);
  ahead = new Ahead(this);
  /** sha256 of a scan -> where its slices lie @type {Map<string, SliceMap>} */
  maps = new Map();

  /** @param {Editing} session */
  constructor(session) {
    this.session = session;
    this.viewer = session.viewer;
  }

  get series() {
    return this.session.series;
  }

  get ready() {
    return this.ahead.ready;
  }

  /**
   * As they are in the draft. Those that the version came with are seen, but belong to the draft only once they are
   * used again.
   * @returns {StoredPrompt[]}
   */
  get all() {
    return this.list
      .filter((prompt) => !prompt.fromVersion)
      .map((prompt) => ({ ...this.plain(prompt), kept: prompt.kept }));
  }

  /**
   * What the server is sent of a prompt. Which model answered it the server knows by itself.
   * @param {Prompt} prompt
   */
  plain({ type, scan, axis, slice, coords, positive, lesion }) {
    return { type, scan, axis, slice, coords, positive, lesion };
  }

  /**
   * Begins with the prompts of a draft, after those of the version that it is of.
   * @param {StoredPrompt[]} ofDraft
   * @param {StoredPrompt[]} ofVersion
   * @param {string[]} answers ids of the answers that the draft has
   */
  begin(ofDraft, ofVersion, answers = []) {
    this.propagation.stop();
    this.taken = this.asTaken(answers);
    /**
     * @param {StoredPrompt} prompt
     * @param {boolean} fromVersion
     * @returns {Prompt}
     */
    const shown = (prompt, fromVersion) => {
      return { axis: 2, positive: true, lesion: 1, kept: true, ...prompt, id: made++, fromVersion };
    };
    this.list = [
      ...ofVersion.map((prompt) => shown(prompt, true)),
      ...ofDraft.map((prompt) => shown(prompt, false)),
    ].filter((prompt) => this.scanOf(prompt));
    this.clear();
  }

  /**
   * Answers by their ids alone, as they come with a draft.
   * @param {string[]} ids
   * @returns {TakenAnswer[]}
   */
  asTaken(ids) {
    return ids.map((id) => ({ key: id, id }));
  }

  // ---- where things are --------------------------------------------------------------------------------------------
  /** @param {Pick<Prompt, "scan">} prompt */
  scanOf(prompt) {
    return this.series.scans.find((scan) => scan.scan_id === prompt.scan || scan.channel === prompt.scan);
  }

  /** @param {Scan} scan */
  mapOf(scan) {
    const map = this.maps.get(scan.sha256) ?? new SliceMap(scan, this.series.reference);
    this.maps.set(scan.sha256, map);
    return map;
  }

  /** @param {Subject} subject */
  key({ scan, axis, slice, lesion }) {
    return `${scan} ${axis} ${slice} ${lesion}`;
  }

  /**
   * The shown scan's axis across a pane's slices and the slice that is seen; null where it lies obliquely to them.
   * @param {Pane} pane
   * @returns {ScanSlice | null}
   */
  place(pane) {
    const { scan } = pane.volume,
      map = this.mapOf(scan),
      axis = map.axisAlong(pane.plane.axis);
    if (axis === null) return null;
    const at = rounded(apply(map.toScan, this.viewer.cursorIndex(pane.frame.master)));
    return { scan, axis, slice: Math.max(0, Math.min(scan.shape[axis] - 1, at[axis])) };
  }

  /** The slice that prompts would go on; null where they cannot. */
  seenSlice() {
    const pane = this.viewer.active;
    return pane.series === this.series && pane.planeName !== "mip" ? this.place(pane) : null;
  }

  // ---- prompts ------------------------------------------------------------------------------------------------------
  /** @param {Pick<Prompt, "type" | "scan" | "axis" | "slice" | "coords"> & {positive?: boolean}} prompt */
  add(prompt) {
    const lesion = this.session.label;
    /** @type {Prompt} */
    const full = { positive: true, lesion, ...prompt, id: made++, kept: false, fromVersion: false };
    /** @param {Prompt} other */
    const same = (other) => other.type === "box" && full.type === "box" && this.key(other) === this.key(full);
    this.list = [...this.list.filter((other) => !same(other)), full];
    this.chosen = full;
    this.session.promptsChanged(`${full.type} on slice ${full.slice}`);
    return this.ask(full);
  }

  /**
   * @param {Prompt} prompt
   * @param {number[]} coords
   */
  move(prompt, coords) {
    Object.assign(prompt, { coords, kept: false, fromVersion: false });
    this.session.promptsChanged(`moved ${prompt.type}`);
    return this.ask(prompt);
  }

  deleteChosen() {
    const prompt = this.chosen;
    if (!prompt || !this.list.includes(prompt)) {
      return this.viewer.say("Move the pointer onto a box or a point first.");
    }
    this.list = this.list.filter((other) => other !== prompt);
    this.chosen = null;
    this.session.promptsChanged(`deleted ${prompt.type}`);
    const rest = this.list.find((other) => this.key(other) === this.key(prompt));
    if (rest && !prompt.kept) return this.ask(rest);
    this.answers.delete(this.key(prompt));
    this.rebuild();
  }

  // ---- the model's answers -----------------------------------------------------------------------------------------
  /** @param {Prompt} prompt */
  async ask(prompt) {
    const key = this.key(prompt),
      { axis, slice, lesion } = prompt,
      scan = this.scanOf(prompt),
      asked = ++this.asked,
      began = performance.now();
    const used = this.list.filter((other) => this.key(other) === key);
    for (const other of used) other.fromVersion = false;
    this.asking++;
    this.session.bar.refresh();
    try {
      const body = JSON.stringify({ scan: scan?.sha256, axis, slice, prompts: used.map(this.plain), lesion });
      const answer = await fetchFrom(this.viewer.auth, "prompt", { method: "POST", body });
      /** @type {PromptReply} */
      const reply = await answer.json();
      const known = this.answers.get(key),
        newest = this.asked === asked || !known || (known.asked ?? Infinity) < asked,
        wanted = this.list.includes(prompt); // not dropped or deleted meanwhile
      if (newest && wanted) this.take(prompt, reply, asked);
      this.seconds = { ...reply.seconds, shown: (performance.now() - began) / 1000 };
      if (wanted && !reply.shape[0])
        this.viewer.say("The model found nothing there. Draw the box nearer to the lesion.");
    } catch (error) {
      this.viewer.say(messageOf(error));
    }
    this.asking--;
    this.session.bar.refresh();
  }

  /**
   * @param {Subject} subject
   * @param {PackedBits & {answer_id: string, predicted_iou: number}} reply
   * @param {number} [asked] number of the question
   */
  take({ scan, axis, slice, lesion }, reply, asked) {
    const known = this.scanOf({ scan });
    if (!known) return;
    const key = this.key({ scan, axis, slice, lesion }),
      bits = unpack(reply),
      { answer_id: id, predicted_iou: iou } = reply,
      voxels = this.mapOf(known).voxels(axis, slice, bits);
    this.answers.set(key, { key, id, scan, axis, slice, lesion, bits, iou, asked, voxels });
    this.rebuild();
  }

  rebuild() {
    const voxels = [...this.answers.values()].flatMap((answer) => answer.voxels);
    if (!this.answers.size) this.preview = null;
    else if (!voxels.length) this.preview = { array: null };
    else this.preview = { ...cropped(voxels, this.series.reference), id: "preview", revision: made++ };
    this.session.bar.refresh();
    this.viewer.draw();
  }

  clear() {
    this.answers.clear();
    this.propagation.stops = [];
    this.rebuild();
  }

  /**
   * The answers become part of the draft, in place of what the lesion had on those slices; false where there are
   * none.
   */
  keep() {
    const { editor } = this.session;
    if (!this.answers.size || !editor) return false;
    this.propagation.stop();
    for (const lesion of new Set([...this.answers.values()].map((answer) => answer.lesion))) this.keepLesion(lesion);
    for (const prompt of this.list) if (this.answers.has(this.key(prompt))) prompt.kept = true;
    this.clear();
    this.session.promptsChanged("kept an answer");
    return true;
  }

  /** @param {number} lesion */
  keepLesion(lesion) {
    const { editor } = this.session,
      answers = [...this.answers.values()].filter((answer) => answer.lesion === lesion);
    if (!editor) return;
    /** @type {Map<number, boolean>} */
    const voxels = new Map();
    for (const { scan, axis, slice } of answers) {
      const known = this.scanOf({ scan });
      if (!known) continue;
      this.mapOf(known).visit(axis, slice, (p) => {
        if (editor.array[p] === lesion) voxels.set(p, false);
      });
    }
    for (const answer of answers) for (const p of answer.voxels) voxels.set(p, true);
    const where = answers.length === 1 ? `slice ${answers[0].slice}` : `${answers.length} slices`,
      others = this.taken.filter(({ key }) => !answers.some((answer) => answer.key === key)),
      now = answers.filter(({ id }) => id).map(({ key, id }) => ({ key, id })),
      taken = { before: this.taken, after: [...others, ...now] };
    const name = this.session.nameOf(lesion),
      changed = editor.keep(`MedSAM's answer for ${name} on ${where}`, lesion, voxels, this.sparing, taken);
    if (!changed) this.viewer.say(`${name} is just so already.`);
  }

  /** Gives up the answers and the prompts that were not kept; false where there were none. */
  drop() {
    const before = this.list.length,
      had = this.answers.size > 0;
    this.propagation.stop();
    this.list = this.list.filter((prompt) => prompt.kept);
    this.clear();
    if (before !== this.list.length) this.session.promptsChanged("dropped prompts");
    return had || before !== this.list.length;
  }

  close() {
    this.ahead.close();
    this.propagation.stop();
  }
}

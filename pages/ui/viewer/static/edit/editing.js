// One timepoint's mask being changed: the editor, its draft on the server, and the tools' settings.
import { spacing } from "../lib/geometry.js";
import { freeLabel, inWords, lesionOf, namedLabels, offeredBeside } from "../lib/naming.js";
import { messageOf } from "../lib/requests.js";
import { promptTools } from "../prompt/prompt_tools.js";
import { Prompting } from "../prompt/prompts.js";
import { Draft } from "./draft.js";
import { LabelEditor } from "./edit.js";
import { EditBar } from "./edit_bar.js";
import { editKeys } from "./edit_keys.js";
import { penTools } from "./pens.js";
import { decide } from "./saving.js";

/** @import { DraftSource, DrawnAs } from "../lib/types.d.ts" */
/** @import { Pane } from "../view/pane.js" */
/** @import { Viewer } from "../view/viewer.js" */
/** @import { ChangeNote } from "./steps.js" */

const RECOUNT_MS = 600;

/**
 * What the tools are set to: the brush's radius, whether it is a ball, and limits of the values that it may add.
 * @typedef {{radiusMm: number, ball: boolean, limit: boolean, low: number | null, high: number | null}} PenOptions
 */

export class Editing {
  /** @type {LabelEditor | null} */
  editor = null;
  /** @type {Draft | null} */
  draft = null;
  /** why the draft could not be fetched, in words */
  problem = "";
  /** that a draft was fetched, and what of it was lost; stands until it is saved again */
  restored = "";
  /** the mask that is edited; null: an empty one, undefined: none yet @type {string | null | undefined} */
  attached;
  /** what labels were drawn as that the version has not; null: as a new lesion @type {Map<number, string | null>} */
  drawn = new Map();
  saving = false;
  /** the page was told that there is a draft, whose mask is another than the version's */
  announced = false;
  /** @type {number | undefined} */
  counting;
  /** @type {PenOptions} */
  options = { radiusMm: 6, ball: false, limit: false, low: null, high: null };

  /** @param {Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.series = viewer.series[0];
    this.prompting = new Prompting(this);
    for (const tool of [...promptTools(this), ...penTools(this)]) viewer.addTool(tool);
    this.bar = new EditBar(this);
    editKeys(this);
    viewer.events.on("labels", () => this.attach());
    viewer.events.on("data", () => {
      if (this.draft?.problem && !this.draft.gone) this.draft.flush(); // a new token has come
      if (this.attached === (this.series.data.mask?.mask_id ?? null)) this.drewAs([]);
      this.attach();
    });
    viewer.events.on("lesion", () => this.bar.refresh());
    viewer.events.on("slice", () => this.prompting.ahead.moved());
    viewer.events.on("close", () => this.close());
    this.left = () => {
      if (this.draft?.dirty) this.draft.flush(); // what is pressed outside is pressed with what was drawn
    };
    viewer.root.addEventListener("pointerleave", this.left);
    this.attach();
  }

  // ---- what is edited ----------------------------------------------------------------------------------------------
  /**
   * Takes the shown version as the one to start from, once its voxels are there; its draft is fetched if there is
   * one.
   */
  async attach() {
    const { series, viewer } = this,
      { labels, data } = series,
      maskId = data.mask?.mask_id ?? null;
    if (this.attached === maskId || (maskId && !labels.array) || labels.maskId !== maskId) return this.bar.refresh();
    this.attached = maskId;
    this.drawn = new Map();
    const before = this.draft;
    before?.flush().then(() => before.close());
    const [I, J, K] = labels.shape,
      array = labels.array ?? new Uint8Array(I * J * K);
    labels.array = array;
    const editor = new LabelEditor(labels.shape, spacing(labels.affine), array, (change) => this.changed(change));
    editor.nameOf = (label) => this.nameOf(label);
    const place = {
      patient_id: viewer.data.patient,
      timepoint: data.timepoint,
      parent_version: data.mask?.version ?? null,
    };
    const draft = new Draft(viewer.auth, place, viewer.data.draft, this.source(editor), (one) => this.told(one));
    this.draft = draft;
    this.editor = null;
    this.problem = this.restored = "";
    this.announced = false;
    this.prompting.begin([], viewer.data.prompts);
    try {
      if (draft.id !== null) await this.restore(draft, editor);
      this.editor = editor;
    } catch (error) {
      this.problem = `The draft of this version could not be fetched: ${messageOf(error)}`;
    }
    this.recount();
    this.bar.refresh();
    this.prompting.ahead.moved();
  }

  /**
   * What a draft reads when it sends.
   * @param {LabelEditor} editor
   * @returns {DraftSource}
   */
  source({ array, plane, shape }) {
    const { drawn } = this;
    return {
      lesions: () => [...drawn].map(([label, lesion_id]) => ({ label, lesion_id })),
      slice: (k) => array.slice(k * plane, (k + 1) * plane),
      prompts: () => this.prompting.all,
      answers: () => this.prompting.taken.map(({ id }) => id),
      depth: shape[2],
      same: (theirs) => theirs.every((label, p) => label === array[p]),
    };
  }

  /**
   * @param {Draft} draft
   * @param {LabelEditor} editor
   */
  async restore(draft, editor) {
    const { array, prompts, answers, left_out: lost, lesions } = await draft.fetch();
    this.drewAs(lesions);
    editor.load(array);
    this.prompting.begin(prompts, this.viewer.data.prompts, answers);
    this.viewer.labelsChanged(this.series);
    const changes = `${lost.length} of its changes (number ${lost.join(", ")})`,
      are = lost.length === 1 ? "is" : "are",
      damage = lost.length ? ` ${changes} could not be read and ${are} left out.` : "";
    this.restored = `Your draft of this version is shown as you left it.${damage}`;
  }

  /**
   * The draft's state changed; what its person must know of it is said once.
   * @param {Draft} draft
   */
  told(draft) {
    this.bar.refresh();
    if (draft.drawn && draft === this.draft) this.announce(true);
    if (!draft.notice) return;
    this.viewer.say(draft.notice);
    draft.notice = "";
  }

  /**
   * Tells the page, once, that what is on the screen is another mask than the version's, or is it again.
   * @param {boolean} there
   */
  announce(there) {
    if (this.announced === there) return;
    this.announced = there;
    this.viewer.emit("drafted", { there, nonce: Date.now() });
  }

  /**
   * Begins a decision, with all that was drawn on the server: the page then asks which of the two masks is meant.
   * @param {"accept" | "reject"} verdict
   */
  decide(verdict) {
    return decide(this, verdict);
  }

  /** @param {ChangeNote} change */
  changed({ what, slices, taken }) {
    if (taken) this.prompting.taken = taken;
    const { lesions, offered } = this.series.data;
    for (const [label, more] of this.editor?.voxels ?? []) {
      if (more <= 0 || this.drawn.has(label) || lesions.some((one) => one.label === label)) continue;
      this.drawn.set(label, offered.find((one) => one.label === label)?.lesion_id ?? null);
    }
    this.draft?.changed({ what, slices, prompts: Boolean(taken) });
    this.viewer.labelsChanged(this.series);
    this.recount();
    this.bar.refresh();
  }

  /**
   * What labels were drawn as; the other lesions of the patient are offered beside them.
   * @param {DrawnAs[]} lesions
   */
  drewAs(lesions) {
    const { series, drawn } = this;
    for (const { label, lesion_id: id } of lesions) drawn.set(label, id);
    series.name({ ...series.data, offered: offeredBeside(series.data, drawn) });
  }

  /** Counts voxels anew, after a while: the next lesion's largest slice is found by it. */
  recount() {
    clearTimeout(this.counting);
    this.counting = setTimeout(() => this.series.labels.count(), RECOUNT_MS);
  }

  /** @param {string} what */
  promptsChanged(what) {
    if (this.draft && !this.draft.closed && this.editor) this.draft.changed({ what, prompts: true });
    this.bar.refresh();
    this.viewer.draw();
  }

  // ---- the lesion that is worked on ---------------------------------------------------------------------------------
  /** Of a timepoint without a mask the patient's first lesion; 0 where no label is left. */
  get label() {
    const { offered, next_label: next } = this.series.data;
    return this.viewer.lesion ?? offered[0]?.label ?? next ?? 0;
  }

  get lesionName() {
    return this.nameOf(this.label);
  }

  /**
   * A label in words: the lesion that it is.
   * @param {number} label
   */
  nameOf(label) {
    const { lesions, offered } = this.series.data,
      known = [...lesions, ...offered].find((one) => one.label === label);
    if (known) return inWords(known.lesion_id);
    const drawn = this.drawnNew.filter((other) => other !== label),
      before = drawn.filter((other) => other < label).length;
    return before ? `new lesion ${before + 1}` : "new lesion";
  }

  /** Labels that are drawn or asked for in this draft, and are no lesion of the patient's. */
  get drawnNew() {
    const { lesions, offered } = this.series.data,
      known = new Set([...lesions, ...offered].map(({ label }) => label)),
      drawn = [...(this.editor?.voxels ?? [])].filter(([, more]) => more > 0).map(([label]) => label),
      asked = this.prompting.list.map((prompt) => prompt.lesion);
    return [...new Set([...drawn, ...asked])].filter((label) => !known.has(label)).sort((a, b) => a - b);
  }

  /** The label of a lesion that the patient has not, nor this draft; null where all are in use. */
  get nextLabel() {
    const { lesions, offered, next_label: first } = this.series.data;
    return freeLabel(new Set([...[...lesions, ...offered].map(({ label }) => label), ...this.drawnNew]), first);
  }

  /** [label, name] of those that the mask has, of the patient's others, of new ones in this draft, and of one more. */
  get lesions() {
    const { data } = this.series,
      next = this.nextLabel;
    /** @type {[number, string][]} */
    const choices = [
      ...namedLabels(data),
      .../** @type {[number, string][]} */ (
        data.offered.map(({ label, lesion_id: id, timepoint }) => [label, `${inWords(id)} (on ${timepoint})`])
      ),
      .../** @type {[number, string][]} */ (this.drawnNew.map((label) => [label, this.nameOf(label)])),
    ];
    if (next !== null) choices.push([next, "new"]);
    const { label } = this;
    return choices.some(([known]) => known === label) ? choices : [...choices, [label, this.nameOf(label)]];
  }

  /** @param {number} label */
  choose(label) {
    this.viewer.choose(lesionOf(this.series.data, label), label);
    this.viewer.events.tell("lesion", label);
    this.viewer.draw();
  }

  /** Volume of the lesion in the draft, and by how much it differs from the version's, in mL. */
  get volume() {
    const known = this.series.data.lesions.find((lesion) => lesion.label === this.label),
      [x, y, z] = spacing(this.series.labels.affine),
      change = ((this.editor?.voxels.get(this.label) ?? 0) * x * y * z) / 1000;
    return { now: (known?.volume_mm3 ?? 0) / 1000 + change, change };
  }

  // ---- steps --------------------------------------------------------------------------------------------------------
  /**
   * Why the mask cannot be changed on a pane; "" where it can.
   * @param {Pane} pane
   */
  refusal(pane) {
    if (pane.series !== this.series) return "Changes go on the first timepoint.";
    if (pane.planeName === "mip") return "Changes go on slices, not on the projection.";
    if (this.draft?.conflict) return "Decide first whose draft is kept (below).";
    if (!this.label) return "All 255 labels of this mask are in use: choose a lesion that is there.";
    if (!this.editor) return this.problem || "The mask is still being loaded.";
    return "";
  }

  undo() {
    const what = this.editor?.undo();
    this.viewer.say(what ? `Undone: ${what}` : "There is nothing to undo.");
  }

  redo() {
    const what = this.editor?.redo();
    this.viewer.say(what ? `Done again: ${what}` : "There is nothing to do again.");
  }

  /**
   * Fills the holes of the lesion, or draws between its slices, in the plane that is seen.
   * @param {"holes" | "interpolate"} what
   */
  run(what) {
    const pane = this.viewer.active,
      { editor, label } = this,
      why = this.refusal(pane);
    if (why || !editor) return this.viewer.say(why);
    const { axis } = pane.plane;
    if (what === "holes") {
      this.viewer.say(editor.fillHoles(label, axis) ? "" : `${this.lesionName} has no holes in these slices.`);
      return;
    }
    const count = editor.interpolate(label, axis),
      nothing = "Draw on two slices of this plane first, with a gap between them.";
    this.viewer.say(count ? `${count} slices drawn in between.` : nothing);
  }

  /** @param {number} factor */
  resize(factor) {
    this.options.radiusMm = Math.min(40, Math.max(0.5, this.options.radiusMm * factor));
    this.bar.refresh();
    this.viewer.draw();
  }

  toggleBall() {
    this.options.ball = !this.options.ball;
    this.bar.refresh();
  }

  /** @param {boolean} on */
  setLimit(on) {
    const { scan } = this.viewer.active.volume,
      [centre, width] = this.viewer.levels.windowOf(scan);
    const { low, high } = this.options;
    if (on && low === null && high === null) {
      Object.assign(this.options, { low: centre - width / 2, high: centre + width / 2 });
    }
    this.options.limit = on;
    this.bar.refresh();
  }

  close() {
    clearTimeout(this.counting);
    this.viewer.root.removeEventListener("pointerleave", this.left);
    this.prompting.close();
    const { draft } = this;
    draft?.flush().then(() => draft.close());
  }
}

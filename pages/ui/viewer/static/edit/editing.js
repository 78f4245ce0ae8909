// One timepoint's mask being changed: the editor, its draft on the server, the tools' settings, and the lines of controls.
import { spacing } from "../lib/geometry.js";
import { Draft } from "./draft.js";
import { LabelEditor } from "./edit.js";
import { penTools } from "./pens.js";
import { Prompting } from "../prompt/prompts.js";
import { promptTools } from "../prompt/prompt_tools.js";
import { EditBar } from "./edit_bar.js";

// A new version's difference from its parent.
function inWords({
  dice,
  voxels_added: added,
  voxels_removed: removed,
  volume_delta_mm3: delta,
  hausdorff95_mm: hd95,
}) {
  if (dice === null) return "";
  const volume = `${delta < 0 ? "−" : "+"}${Math.abs(delta / 1000).toFixed(2)} mL`,
    far = hd95 === null ? "" : `, Hausdorff 95 % ${hd95.toFixed(1)} mm`;
  return `Dice ${dice.toFixed(3)}, ${added} voxels added, ${removed} removed, ${volume}${far}`;
}

export class Editing {
  constructor(viewer) {
    Object.assign(this, {
      viewer,
      series: viewer.series[0],
      editor: null,
      draft: null,
      problem: "",
      attached: undefined,
    });
    this.options = { radiusMm: 6, ball: false, limit: false, low: null, high: null };
    this.prompting = new Prompting(this);
    for (const tool of [...promptTools(this), ...penTools(this)]) viewer.addTool(tool);
    this.bar = new EditBar(this);
    this.keys();
    viewer.on("labels", () => this.attach());
    viewer.on("data", () => {
      if (this.draft?.problem && !this.draft.gone) this.draft.flush(); // a new token has come
      this.attach();
    });
    viewer.on("lesion", () => this.bar.refresh());
    viewer.on("slice", () => this.prompting.moved());
    viewer.on("close", () => this.close());
    this.attach();
  }

  // ---- what is edited -------------------------------------------------------------------------------------------------
  // Takes the shown version as the one to start from, once its voxels are there; its draft is fetched if there is one.
  async attach() {
    const { series, viewer } = this,
      maskId = series.data.mask?.mask_id ?? null;
    if (this.attached === maskId || (maskId && !series.labels.array) || series.labels.maskId !== maskId)
      return this.bar.refresh();
    this.attached = maskId;
    const left = this.draft;
    left?.flush().then(() => left.close());
    const { labels } = series,
      [I, J, K] = labels.shape;
    labels.array ??= new Uint8Array(I * J * K);
    const size = I * J,
      editor = new LabelEditor(labels.shape, spacing(labels.affine), labels.array, (change) => this.changed(change));
    const place = {
      patient_id: viewer.data.patient,
      timepoint: series.data.timepoint,
      parent_version: series.data.mask?.version ?? null,
    };
    const read = {
      slice: (k) => editor.array.slice(k * size, (k + 1) * size),
      prompts: () => this.prompting.all,
      answers: () => this.prompting.taken.map(({ id }) => id),
      depth: K,
      same: (theirs) => theirs.every((label, p) => label === editor.array[p]),
    };
    const draft = new Draft(viewer.auth, place, viewer.data.draft, read, (changed) => this.told(changed));
    Object.assign(this, { draft, editor: null, problem: "" });
    this.prompting.begin([], viewer.data.prompts);
    try {
      if (draft.id !== null) await this.restore(draft, editor);
      this.editor = editor;
    } catch (error) {
      this.problem = `The draft of this version could not be fetched: ${error.message}`;
    }
    this.recount();
    this.bar.refresh();
    this.prompting.moved();
  }

  async restore(draft, editor) {
    const { array, prompts, answers, left_out: lost } = await draft.fetch();
    editor.load(array);
    this.prompting.begin(prompts, this.viewer.data.prompts, answers);
    this.viewer.labelsChanged(this.series);
    const damage = lost.length
      ? ` ${lost.length} of its changes (number ${lost.join(", ")}) could not be read and ${lost.length === 1 ? "is" : "are"} left out.`
      : "";
    this.viewer.say(`Your draft of this version is shown as you left it.${damage}`);
  }

  // The draft's state changed; what its person must know of it is said once.
  told(draft) {
    this.bar.refresh();
    if (!draft.notice) return;
    this.viewer.say(draft.notice);
    draft.notice = "";
  }

  changed(change) {
    if (change.taken) this.prompting.taken = change.taken;
    this.draft.changed({ ...change, prompts: Boolean(change.taken) });
    this.viewer.labelsChanged(this.series);
    this.recount();
    this.bar.refresh();
  }

  recount() {
    clearTimeout(this.counting);
    this.counting = setTimeout(() => this.series.labels.count(), 600); // for the next lesion's largest slice
  }

  promptsChanged(what) {
    if (this.draft && !this.draft.closed && this.editor) this.draft.changed({ what, prompts: true });
    this.bar.refresh();
    this.viewer.draw();
  }

  // ---- the lesion that is worked on ---------------------------------------------------------------------------------
  get label() {
    return this.viewer.lesion ?? this.viewer.data.next_label;
  }
  get lesionName() {
    return `L${this.label}`;
  }

  // The first number that no lesion of the patient has, in any version or in this draft.
  get nextLabel() {
    const used = [...(this.editor?.voxels.keys() ?? []), ...this.prompting.list.map((prompt) => prompt.lesion ?? 0)];
    return Math.max(this.viewer.data.next_label, ...used.map((label) => label + 1));
  }

  // [label, name] of those there are, and a new one.
  get lesions() {
    const known = this.series.data.lesions.map(({ label, lesion_id: id }) => [label, id]),
      next = this.nextLabel;
    for (const label of [...(this.editor?.voxels.keys() ?? []), this.label]) {
      if (label !== next && !known.some(([number]) => number === label)) known.push([label, `L${label}`]);
    }
    return [...known, [next, `L${next} (new)`]];
  }

  choose(label) {
    this.viewer.lesion = label;
    this.viewer.tell("lesion", label);
    this.viewer.draw();
  }

  // Volume of the draft's lesion, and by how much it differs from the version's, in mL.
  volume(label) {
    const was = (this.series.data.lesions.find((lesion) => lesion.label === label)?.volume_mm3 ?? 0) / 1000;
    const voxel = this.editor.spacing.reduce((a, b) => a * b, 1) / 1000,
      change = (this.editor.voxels.get(label) ?? 0) * voxel;
    return { now: was + change, change };
  }

  // ---- steps --------------------------------------------------------------------------------------------------------
  refusal(pane) {
    if (pane.series !== this.series) return "Changes go on the first timepoint.";
    if (pane.planeName === "mip") return "Changes go on slices, not on the projection.";
    if (this.draft?.conflict) return "Decide first whose draft is kept (below).";
    if (!this.editor) return this.problem || "The mask is still being loaded.";
    return "";
  }

  undo() {
    this.say(this.editor?.undo(), "Undone", "There is nothing to undo.");
  }
  redo() {
    this.say(this.editor?.redo(), "Done again", "There is nothing to do again.");
  }
  say(what, word, nothing) {
    this.viewer.say(what ? `${word}: ${what}` : nothing);
  }

  run(what) {
    const pane = this.viewer.active,
      why = this.refusal(pane);
    if (why) return this.viewer.say(why);
    const { axis } = pane.plane,
      { editor, label } = this;
    if (what === "holes")
      this.viewer.say(editor.fillHoles(label, axis) ? "" : `${this.lesionName} has no holes in these slices.`);
    if (what === "interpolate") {
      const count = editor.interpolate(label, axis);
      this.viewer.say(
        count
          ? `${count} slices drawn in between.`
          : "Draw on two slices of this plane first, with a gap between them.",
      );
    }
  }

  resize(factor) {
    this.options.radiusMm = Math.min(40, Math.max(0.5, this.options.radiusMm * factor));
    this.bar.refresh();
    this.viewer.draw();
  }

  setLimit(on) {
    const { scan } = this.viewer.active.volume,
      [centre, width] = this.viewer.levels.windowOf(scan);
    if (on && this.options.low === null)
      Object.assign(this.options, { low: centre - width / 2, high: centre + width / 2 });
    this.options.limit = on;
    this.bar.refresh();
  }

  async save() {
    if (!this.editor || this.saving) return;
    this.editor.commit();
    if (this.prompting.preview) return this.viewer.say("Keep or drop the model's answer first (Enter or Backspace).");
    if (!this.draft.exists) return this.viewer.say("Nothing was changed yet: there is no draft to save.");
    this.saving = true;
    this.bar.refresh();
    try {
      const said = await this.draft.save();
      this.editor = null; // what is on the screen is the new version now; no stroke may go into the old one
      this.viewer.say(`Saved as v${said.version}. ${inWords(said)}`);
      this.viewer.emit("saved", { ...said, nonce: Date.now() });
    } catch (error) {
      if (error.status === 409) await this.draft.failed(error);
      this.viewer.say(error.message);
    }
    this.saving = false;
    this.bar.refresh();
  }

  async discard() {
    try {
      await this.draft.discard();
    } catch (error) {
      return this.viewer.say(error.message);
    }
    this.attached = undefined;
    this.viewer.data.draft = null;
    this.series.labels.maskId = undefined; // fetched again, without the draft
    await this.series.show("labels", this.series.data.mask);
    if (!this.series.data.mask) this.attach();
    this.viewer.say("The draft was given up; the version is as it was.");
  }

  // ---- conflicts ----------------------------------------------------------------------------------------------------
  async settle(mine) {
    const { editor, draft } = this,
      { shape } = editor,
      size = shape[0] * shape[1];
    try {
      await draft.settle(({ array: theirs, answers }) => {
        if (!mine) {
          editor.onChange = () => {}; // what comes from the server need not go back there
          editor.replace("taking the other side", theirs, {
            before: this.prompting.taken,
            after: this.prompting.asTaken(answers),
          });
          this.prompting.taken = this.prompting.asTaken(answers);
          editor.onChange = (change) => this.changed(change);
          this.viewer.labelsChanged(this.series);
          return null;
        }
        const differs = (k) => {
          for (let p = k * size; p < (k + 1) * size; p++) if (theirs[p] !== editor.array[p]) return true;
          return false;
        };
        return Array.from({ length: shape[2] }, (_, k) => k).filter(differs);
      });
      this.viewer.say(mine ? "Your side is the draft now." : "The other side is shown; undo brings yours back.");
    } catch (error) {
      this.viewer.say(error.message);
    }
    this.bar.refresh();
  }

  keys() {
    const { viewer } = this,
      tool = () => viewer.tools.get(viewer.tool);
    for (const { key, title, name } of viewer.tools.values()) {
      if (!viewer.keys.some((known) => known.key === key))
        viewer.addKey(key, title.toLowerCase(), () => viewer.setTool(name));
    }
    viewer.addKey("[", "smaller brush", () => this.resize(1 / 1.25));
    viewer.addKey("]", "larger brush", () => this.resize(1.25));
    viewer.addKey("j", "brush in all directions (ball), or flat", () => {
      this.options.ball = !this.options.ball;
      this.bar.refresh();
    });
    viewer.addKey("ctrl+z", "undo; with shift do again", (event) => (event.shiftKey ? this.redo() : this.undo()));
    viewer.addKey("ctrl+y", "do again", () => this.redo());
    viewer.addKey("ctrl+s", "save as a version", () => this.save());
    viewer.addKey(
      "Enter",
      "keep the model's answer; close a polygon",
      (event) => tool()?.enter?.(event) || this.prompting.keep(),
    );
    viewer.addKey(
      "Backspace",
      "drop the model's answer; a polygon's last corner",
      () => tool()?.back?.() || this.prompting.drop(),
    );
    viewer.addKey("Delete", "delete the box or point under the pointer", () => this.prompting.deleteChosen());
  }

  close() {
    clearTimeout(this.counting);
    this.prompting.close();
    this.draft?.flush().then(() => this.draft.close());
  }
}

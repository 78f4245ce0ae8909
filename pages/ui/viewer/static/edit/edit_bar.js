// The line of controls for editing, the one for the model's answer, and how the draft stands.
import { element } from "../lib/element.js";
import { fromLesion } from "../prompt/from_lesion.js";
import { discard, save, settle } from "./saving.js";

/** @import { Choice } from "../view/controls.js" */
/** @import { Editing } from "./editing.js" */

/** @param {string} text */
const sentence = (text) => element("span", {}, text);

export class EditBar {
  bar = element("div", { className: "bar edit", role: "toolbar", "aria-label": "Editing" });
  /** how the draft stands, in words */
  state = element("span", { className: "draft", role: "status", "aria-label": "Draft" });

  /** @param {Editing} session */
  constructor(session) {
    this.session = session;
    this.viewer = session.viewer;
    this.toolbar = session.viewer.toolbar;
    this.undoButton = this.toolbar.button("↶", "Undo (ctrl+z)", () => session.undo());
    this.redoButton = this.toolbar.button("↷", "Do again (ctrl+y)", () => session.redo());
    this.build();
  }

  build() {
    const { session, toolbar, viewer } = this,
      { prompting } = session;
    toolbar.rail.append(toolbar.group("Steps", this.undoButton, this.redoButton));
    const drawing = this.drawing(),
      asking = this.asking();
    const draft = toolbar.group(
      "Draft",
      toolbar.button("Save version", "Save the draft as a version (ctrl+s)", () => save(session)),
      toolbar.button("Discard", "Give the draft up", () => this.confirm()),
    );
    toolbar.updates.push(() => {
      const kind = viewer.tools.get(viewer.tool)?.kind;
      drawing.hidden = kind !== "Draw";
      asking.hidden = kind !== "Prompt" && !prompting.answers.size;
      draft.hidden = !session.draft?.exists || !session.editor;
      this.bar.hidden = [drawing, asking, draft].every((group) => group.hidden);
    });
    this.bar.append(asking, drawing, draft);
    toolbar.lines.push(this.bar);
    toolbar.footer.append(this.state);
  }

  /** Which lesion is worked on. */
  lesions() {
    const { session } = this;
    return this.toolbar.select(
      "Lesion that is worked on",
      () => session.lesions.map(([label, name]) => /** @type {Choice} */ ([String(label), name])),
      () => String(session.label),
      (label) => session.choose(Number(label)),
    );
  }

  drawing() {
    const { session, toolbar, viewer } = this,
      { options } = session;
    const radius = toolbar.slider(
      "Radius of the brush, mm ([ and ])",
      { min: 0.5, max: 40, step: 0.5 },
      () => options.radiusMm,
      (mm) => {
        options.radiusMm = mm;
        this.refresh();
        viewer.draw();
      },
    );
    const mm = element("span", { className: "unit" });
    toolbar.updates.push(() => {
      mm.textContent = `${options.radiusMm.toFixed(1)} mm`;
    });
    const ball = "Brush in all directions, not flat (j)",
      limit = "Add only voxels whose value in the shown scan lies within limits; at first the window's",
      holes = "Fill the holes of this lesion, slice by slice in this plane",
      between = "Draw the slices between those drawn by hand in this plane";
    const toggleLimit = () => session.setLimit(!options.limit);
    return toolbar.group(
      "Drawing",
      radius,
      mm,
      toolbar.button(
        "Ball",
        ball,
        () => session.toggleBall(),
        () => options.ball,
      ),
      toolbar.button("Limit", limit, toggleLimit, () => options.limit),
      this.limit("low", "Lowest"),
      this.limit("high", "Highest"),
      toolbar.button("Holes", holes, () => session.run("holes")),
      toolbar.button("Between", between, () => session.run("interpolate")),
    );
  }

  /**
   * A limit of the values that may be added; empty, it limits nothing.
   * @param {"low" | "high"} name
   * @param {string} word
   */
  limit(name, word) {
    const { options } = this.session;
    const made = element("input", { type: "number", step: "any", "aria-label": `${word} value that may be added` });
    made.addEventListener("change", () => {
      options[name] = made.value === "" ? null : Number(made.value);
    });
    this.toolbar.updates.push(() => {
      made.hidden = !options.limit;
      if (document.activeElement !== made) made.value = options[name] === null ? "" : String(options[name]);
    });
    return made;
  }

  asking() {
    const { session, toolbar } = this,
      { prompting } = session,
      { propagation } = prompting;
    const box = "Box around what this lesion has on its largest slice: start from the network's answer",
      mine = "What I drew by hand in this draft stays when an answer is kept";
    const through = toolbar.group(
      "Through the slices",
      toolbar.button("All slices", "Carry the answer through the slices, both ways", () => propagation.start("all")),
      toolbar.button("To here", "Carry it from the box to the slice that is seen", () => propagation.start("here")),
      toolbar.button("From here", "Again from the slice that is seen, outwards", () => propagation.start("from")),
    );
    const stop = toolbar.button("Stop", "Stop going through the slices", () => propagation.stop());
    const spare = () => {
      prompting.sparing = !prompting.sparing;
      this.refresh();
    };
    const answer = toolbar.group(
      "Answer",
      toolbar.button("Keep", "Keep the model's answer (Enter)", () => prompting.keep()),
      toolbar.button("Drop", "Drop the model's answer (Backspace)", () => prompting.drop()),
      toolbar.button("Keep my edits", mine, spare, () => prompting.sparing),
    );
    toolbar.updates.push(() => {
      stop.hidden = !propagation.running;
      answer.hidden = !prompting.answers.size;
    });
    const boxIt = toolbar.button("Box it", box, () => fromLesion(prompting));
    return toolbar.group("Model", boxIt, through, stop, answer);
  }

  refresh() {
    this.toolbar.refresh();
    this.showState();
  }

  /** What undo would undo, and how the draft stands. */
  showState() {
    const { session, state } = this,
      { editor, draft } = session;
    this.undoButton.disabled = !editor?.undoes;
    this.undoButton.title = editor?.undoes ? `Undo: ${editor.undoes} (ctrl+z)` : "Nothing to undo";
    this.redoButton.disabled = !editor?.redoes;
    this.redoButton.title = editor?.redoes ? `Do again: ${editor.redoes} (ctrl+y)` : "Nothing to do again";
    state.className = `draft ${draft?.state ?? ""}`;
    state.replaceChildren(...this.stateParts());
  }

  stateParts() {
    const { session, toolbar } = this,
      { draft } = session;
    if (session.problem) return [sentence(session.problem)];
    if (draft?.conflict) {
      const mine = "What is on this screen becomes the draft",
        theirs = "Show what was saved elsewhere; undo brings mine back";
      return [
        sentence(`${draft.conflict.error ?? "Someone else changed this draft."} Nothing is lost:`),
        toolbar.button("Keep mine", mine, () => settle(session, true)),
        toolbar.button("Take theirs", theirs, () => settle(session, false)),
      ];
    }
    if (draft?.problem) {
      const again = "Save what is on the screen as a new draft";
      return [
        sentence(draft.problem),
        ...(draft.gone ? [toolbar.button("Begin a new draft", again, () => draft.again())] : []),
      ];
    }
    return [this.promptWords(), this.volumeWords(), this.draftWords()].filter(Boolean).map(sentence);
  }

  /** What the model does. */
  promptWords() {
    const { prompting } = this.session,
      { running, stops } = prompting.propagation;
    if (running) return `slice ${running.slice ?? "…"} (${running.slices} done)`;
    if (prompting.asking) return "the model is answering …";
    if (stops.length) {
      return stops.map((s) => `${s.direction < 0 ? "down" : "up"} to slice ${s.slice + 1}: ${s.rule}`).join("; ");
    }
    if (prompting.preview && !prompting.preview.array) return "nothing found";
    if (prompting.answers.size) return "dashed: the model's answer, not yet kept";
    return this.viewer.tools.get(this.viewer.tool)?.kind === "Prompt" ? prompting.ahead.readiness : "";
  }

  /** What becomes of the draft. */
  draftWords() {
    const { session } = this,
      { draft } = session;
    if (draft?.state === "saving") return "Saving the draft …";
    if (draft?.state === "saved")
      return draft.savedAt ? `Draft saved ${draft.savedAt.toLocaleTimeString()}` : session.restored;
    return draft?.state === "offline" ? "Not saved: the server cannot be reached. Trying again …" : "";
  }

  /** The lesion's volume, where the draft changed it. */
  volumeWords() {
    const { session } = this,
      { now, change } = session.volume;
    if (!session.editor || !this.draftWords() || Math.abs(change) < 0.005) return "";
    return `${session.lesionName} ${now.toFixed(1)} mL (${change > 0 ? "+" : "−"}${Math.abs(change).toFixed(1)})`;
  }

  confirm() {
    const { state, toolbar, session } = this;
    state.replaceChildren(
      sentence("Give up all changes since the version?"),
      toolbar.button("Yes, discard", "Give the draft up for good", () => discard(session)),
      toolbar.button("No", "Go on editing", () => this.showState()),
    );
  }
}

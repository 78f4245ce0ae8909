// The line of controls for editing, the one for the model's answer, and what the draft's state is.
import { element } from "../view/toolbar.js";

export class EditBar {
  constructor(session) {
    Object.assign(this, { session, viewer: session.viewer, toolbar: session.viewer.toolbar });
    this.bar = element("div", { className: "bar edit", role: "toolbar", "aria-label": "Editing" });
    this.state = element("span", { className: "draft", role: "status", "aria-label": "Draft" });
    this.build();
  }

  build() {
    const { session, toolbar } = this,
      { prompting } = session,
      button = (...args) => toolbar.button(...args);
    this.undoButtons = [
      button("↶", "Undo (ctrl+z)", () => session.undo()),
      button("↷", "Do again (ctrl+y)", () => session.redo()),
    ];
    toolbar.rail.append(toolbar.group("Steps", ...this.undoButtons));
    const drawing = toolbar.group(
      "Drawing",
      ...this.size(),
      button("Holes", "Fill the holes of this lesion, slice by slice in this plane", () => session.run("holes")),
      button("Between", "Draw the slices between those drawn by hand in this plane", () => session.run("interpolate")),
    );
    const draft = toolbar.group(
      "Draft",
      button("Save version", "Save the draft as a version (ctrl+s)", () => session.save()),
      button("Discard", "Give the draft up", () => this.confirm()),
    );
    const asking = toolbar.group(
      "Model",
      button("Box it", "Box around what this lesion has on its largest slice: start from the network's answer", () =>
        prompting.fromLesion(),
      ),
      ...this.answer(),
    );
    toolbar.updates.push(() => {
      const { kind } = this.viewer.tools.get(this.viewer.tool);
      drawing.hidden = kind !== "Draw";
      asking.hidden = kind !== "Prompt" && !prompting.answers.size;
      draft.hidden = !session.draft?.exists || !session.editor;
      this.bar.hidden = drawing.hidden && asking.hidden && draft.hidden;
    });
    this.bar.append(asking, drawing, draft);
    toolbar.lines.push(this.bar);
    toolbar.footer.append(this.state);
  }

  // Which lesion is worked on.
  lesions() {
    const { session } = this;
    return this.toolbar.select(
      "Lesion that is worked on",
      () => session.lesions.map(([label, name]) => [String(label), name]),
      () => String(session.label),
      (v) => session.choose(Number(v)),
    );
  }

  size() {
    const { session, toolbar, viewer } = this,
      { options } = session;
    const radius = toolbar.slider(
      "Radius of the brush, mm ([ and ])",
      0.5,
      40,
      0.5,
      () => options.radiusMm,
      (v) => {
        options.radiusMm = v;
        this.refresh();
        viewer.draw();
      },
    );
    const said = element("span", { className: "unit" });
    const limits = ["low", "high"].map((name) => {
      const made = element("input", {
        type: "number",
        step: "any",
        "aria-label": `${name === "low" ? "Lowest" : "Highest"} value that may be added`,
      });
      made.addEventListener("change", () => {
        options[name] = Number(made.value);
      });
      toolbar.updates.push(() => {
        made.hidden = !options.limit;
        if (document.activeElement !== made) made.value = options[name] ?? "";
      });
      return made;
    });
    toolbar.updates.push(() => {
      said.textContent = `${options.radiusMm.toFixed(1)} mm`;
    });
    return [
      radius,
      said,
      toolbar.button(
        "Ball",
        "Brush in all directions, not flat (j)",
        () => {
          options.ball = !options.ball;
          this.refresh();
        },
        () => options.ball,
      ),
      toolbar.button(
        "Limit",
        "Add only voxels whose value in the shown scan lies within limits; at first the window's",
        () => session.setLimit(!options.limit),
        () => options.limit,
      ),
      ...limits,
    ];
  }

  answer() {
    const { session, toolbar } = this,
      { prompting } = session,
      button = (...args) => toolbar.button(...args);
    const through = toolbar.group(
      "Through the slices",
      button("All slices", "Carry the answer through the slices, both ways", () => prompting.propagate("all")),
      button("To here", "Carry it from the box to the slice that is seen", () => prompting.propagate("here")),
      button("From here", "Again from the slice that is seen, outwards", () => prompting.propagate("from")),
    );
    const stop = button("Stop", "Stop going through the slices", () => prompting.stop());
    const keep = toolbar.group(
      "Answer",
      button("Keep", "Keep the model's answer (Enter)", () => prompting.keep()),
      button("Drop", "Drop the model's answer (Backspace)", () => prompting.drop()),
      toolbar.button(
        "Keep my edits",
        "What I drew by hand in this draft stays when an answer is kept",
        () => {
          prompting.sparing = !prompting.sparing;
          this.refresh();
        },
        () => prompting.sparing,
      ),
    );
    toolbar.updates.push(() => {
      stop.hidden = !prompting.running;
      keep.hidden = !prompting.answers.size;
    });
    return [through, stop, keep];
  }

  refresh() {
    if (this.viewer.active) this.toolbar.refresh();
    this.words();
  }

  // What undo would undo, and how the draft stands.
  words() {
    const { session, state } = this,
      { editor, draft } = session;
    this.undoButtons.forEach((made, n) => {
      const what = n ? editor?.redoes : editor?.undoes;
      made.disabled = !what;
      made.title = what
        ? `${n ? "Do again" : "Undo"}: ${what} (ctrl+${n ? "y" : "z"})`
        : n
          ? "Nothing to do again"
          : "Nothing to undo";
    });
    state.className = `draft ${draft?.state ?? ""}`;
    state.replaceChildren(...this.parts());
  }

  parts() {
    const { session, toolbar } = this,
      { draft, editor, prompting } = session,
      word = (text) => element("span", {}, text),
      said = [];
    if (session.problem) return [word(session.problem)];
    if (draft?.conflict) {
      return [
        word(`${draft.conflict.error ?? "Someone else changed this draft."} Nothing is lost:`),
        toolbar.button("Keep mine", "What is on this screen becomes the draft", () => session.settle(true)),
        toolbar.button("Take theirs", "Show what was saved elsewhere; undo brings mine back", () =>
          session.settle(false),
        ),
      ];
    }
    if (draft?.problem && !draft.gone) return [word(draft.problem)];
    if (draft?.problem)
      return [
        word(draft.problem),
        toolbar.button("Begin a new draft", "Save what is on the screen as a new draft", () => draft.again()),
      ];
    if (prompting.running) said.push(`slice ${prompting.running.slice ?? "…"} (${prompting.running.slices} done)`);
    else if (prompting.asking) said.push("the model is answering …");
    else if (prompting.stops.length)
      said.push(
        prompting.stops
          .map((stop) => `${stop.direction < 0 ? "down" : "up"} to slice ${stop.slice + 1}: ${stop.rule}`)
          .join("; "),
      );
    else if (prompting.preview && !prompting.preview.array) said.push("nothing found");
    else if (prompting.answers.size) said.push("dashed: the model's answer, not yet kept");
    else if (this.viewer.tools.get(this.viewer.tool)?.kind === "Prompt") said.push(prompting.readiness);
    const words = {
      saving: "Saving the draft …",
      saved: `Draft saved ${draft?.savedAt?.toLocaleTimeString() ?? ""}`,
      offline: "Not saved: the server cannot be reached. Trying again …",
    }[draft?.state];
    if (words && editor) {
      const { change } = session.volume(session.label);
      if (Math.abs(change) >= 0.005)
        said.push(
          `${session.lesionName} ${session.volume(session.label).now.toFixed(1)} mL (${change > 0 ? "+" : "−"}${Math.abs(change).toFixed(1)})`,
        );
    }
    return [...said, words].filter(Boolean).map(word);
  }

  confirm() {
    const { state, toolbar, session } = this;
    state.replaceChildren(
      element("span", {}, "Give up all changes since the version?"),
      toolbar.button("Yes, discard", "Give the draft up for good", () => session.discard()),
      toolbar.button("No", "Go on editing", () => this.words()),
    );
  }
}

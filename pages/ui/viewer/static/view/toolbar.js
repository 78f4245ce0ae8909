// The controls above the panes and the line below them. Everything here has a name for those who do not see it.
import { PLANES } from "../lib/geometry.js";
import { ADDED, REMOVED } from "./pane.js";

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(properties))
    if (name.includes("-") || name === "role") made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const choice = (value, text) => element("option", { value, textContent: text });

export class Toolbar {
  constructor(viewer) {
    this.viewer = viewer;
    this.updates = [];
    this.lines = []; // bars of others, below the first
    this.footer = element("div", { className: "footer" });
    this.extra = element("span", { className: "group extra" });
    this.status = element("span", { className: "status", role: "status" });
    this.help = element("div", { className: "help", hidden: true, role: "dialog", "aria-label": "Keys" });
    this.bar = element("div", { className: "bar", role: "toolbar", "aria-label": "Viewer" });
    this.rail = element("div", {
      className: "bar rail",
      role: "toolbar",
      "aria-label": "Tools",
      "aria-orientation": "vertical",
    });
  }

  build() {
    const { viewer } = this;
    this.bar.replaceChildren(this.planes(), this.layouts(), this.scans(), this.masks(), this.lesions(), this.extra);
    if (viewer.link) this.bar.append(this.linkGroup());
    this.bar.append(
      this.group(
        "Help",
        this.button("?", "Keys (?)", () => this.showHelp(this.help.hidden)),
      ),
    );
    this.help.addEventListener("click", () => this.showHelp(false));
    this.rail.prepend(...this.toolGroups());
    this.footer.prepend(this.status);
    viewer.root.replaceChildren(
      this.bar,
      ...this.lines,
      element("div", { className: "work" }, this.rail, viewer.room),
      this.help,
      this.footer,
    );
  }

  group(label, ...children) {
    return element("span", { className: "group", role: "group", "aria-label": label }, ...children);
  }

  button(text, label, action, pressed) {
    const made = element("button", {
      type: "button",
      textContent: text,
      title: label,
      "aria-label": label.replace(/ \([^()]{1,6}\)$/, ""),
    });
    made.addEventListener("click", () => {
      action();
      made.blur();
    });
    if (pressed) this.updates.push(() => made.setAttribute("aria-pressed", String(Boolean(pressed()))));
    return made;
  }

  slider(label, min, max, step, read, write) {
    const made = element("input", { type: "range", min, max, step, title: label, "aria-label": label });
    made.addEventListener("input", () => write(Number(made.value)));
    this.updates.push(() => {
      made.value = String(read());
    });
    return made;
  }

  select(label, options, read, write) {
    const made = element("select", { title: label, "aria-label": label });
    made.addEventListener("change", () => {
      write(made.value);
      made.blur();
    });
    let shown = "";
    this.updates.push(() => {
      const now = options(),
        key = JSON.stringify(now);
      if (key !== shown) made.replaceChildren(...now.map(([value, text]) => choice(value, text)));
      shown = key;
      made.value = read();
    });
    return made;
  }

  planes() {
    const { viewer } = this,
      at = (name) => () => viewer.active?.planeName === name;
    const keys = { axial: "q", coronal: "w", sagittal: "e" };
    const group = this.group(
      "Plane",
      ...PLANES.map((name) => {
        const title = name[0].toUpperCase() + name.slice(1);
        return this.button(title.slice(0, 3), `${title} (${keys[name]})`, () => viewer.setPlane(name), at(name));
      }),
    );
    if (viewer.series.some((one) => one.pet)) {
      group.append(
        this.button("MIP", "Maximum-intensity projection of the PET (t)", () => viewer.setPlane("mip"), at("mip")),
      );
      const turn = this.slider(
        "Turn the projection, degrees",
        0,
        350,
        10,
        () => viewer.mipAngle,
        (v) => viewer.setMipAngle(v),
      );
      this.updates.push(() => {
        turn.hidden = viewer.active?.planeName !== "mip";
      });
      group.append(turn);
    }
    return group;
  }

  layouts() {
    const { viewer } = this,
      names = [
        ["one", "1", "One pane"],
        ["planes", "3", "Axial, coronal and sagittal"],
      ];
    if (viewer.series.length > 1) names.splice(1, 0, ["two", "2", "Both side by side"]);
    return this.group(
      "Layout",
      ...names.map(([name, text, label]) =>
        this.button(
          text,
          `${label} (g)`,
          () => viewer.setLayout(name),
          () => viewer.layout === name,
        ),
      ),
    );
  }

  scans() {
    const { viewer } = this,
      active = () => viewer.active?.series ?? viewer.series[0];
    const channels = () => [...new Set(active().scans.map((scan) => scan.channel))];
    const scan = () => active().scan(active().shown);
    const group = this.group("Image");
    if (channels().length > 1) {
      group.append(
        this.select(
          "Scan",
          () => channels().map((c) => [c, c]),
          () => scan().channel,
          (c) => viewer.showScan(c),
        ),
      );
      const others = () => [
        ["", "no fusion"],
        ...channels()
          .filter((c) => c !== scan().channel)
          .map((c) => [c, `+ ${c}`]),
      ];
      group.append(
        this.select(
          "Fused over it",
          others,
          () => (active().overlay ? active().scan(active().overlay).channel : ""),
          (c) => viewer.showScan(c || null, true),
        ),
      );
      const opacity = this.slider(
        "Opacity of the fused scan",
        0,
        1,
        0.05,
        () => viewer.options.overlayOpacity,
        (v) => viewer.setOption("overlayOpacity", v),
      );
      this.updates.push(() => {
        opacity.hidden = !active().overlay;
      });
      group.append(opacity);
    }
    const presets = () => viewer.levels.presets(scan()),
      same = ([, c, w]) => `${c} ${w}` === viewer.levels.windowOf(scan()).join(" ");
    group.append(
      this.select(
        "Window",
        () => [...presets().map(([name, c, w]) => [`${c} ${w}`, name]), ["own", "own window"]],
        () => (presets().some(same) ? viewer.levels.windowOf(scan()).join(" ") : "own"),
        (value) => {
          if (value !== "own") viewer.levels.setWindow(scan(), value.split(" ").map(Number));
        },
      ),
    );
    return group;
  }

  toggleFusion() {
    const { viewer } = this,
      one = viewer.active.series,
      other = one.scans.find((scan) => scan.sha256 !== one.shown);
    viewer.showScan(one.overlay || !other ? null : other.channel, true);
  }

  // Tools by what they are for: looking, prompting, drawing.
  toolGroups() {
    const { viewer } = this,
      kinds = new Map();
    for (const tool of viewer.tools.values()) kinds.set(tool.kind, [...(kinds.get(tool.kind) ?? []), tool]);
    return [...kinds].map(([kind, tools]) =>
      this.group(
        kind,
        ...tools.map((tool) =>
          this.button(
            tool.label,
            `${tool.title} (${tool.key})`,
            () => viewer.setTool(tool.name),
            () => viewer.tool === tool.name,
          ),
        ),
      ),
    );
  }

  masks() {
    const { viewer } = this,
      { options } = viewer;
    const group = this.group(
      "Mask",
      this.button(
        "Mask",
        "Mask on or off (m)",
        () => viewer.setOption("mask", !options.mask),
        () => options.mask,
      ),
      this.button(
        "Fill",
        "Filled or outlined (f)",
        () => viewer.setOption("style", options.style === "fill" ? "outline" : "fill"),
        () => options.style === "fill",
      ),
      this.slider(
        "Opacity of the mask",
        0.1,
        1,
        0.05,
        () => options.maskOpacity,
        (v) => viewer.setOption("maskOpacity", v),
      ),
    );
    const changes = this.button(
      "Changes",
      "Changes since the other version: violet added, orange removed (d)",
      () => viewer.setOption("changes", !options.changes),
      () => options.changes,
    );
    this.updates.push(() => {
      changes.hidden = !viewer.series.some((one) => one.data.against);
    });
    group.append(changes);
    return group;
  }

  lesions() {
    const { viewer } = this,
      chosen = viewer.editing ? [viewer.editing.bar.lesions()] : [];
    const group = this.group(
      "Lesions",
      this.button("‹", "Lesion before (p)", () => viewer.nextLesion(-1)),
      ...chosen,
      this.button("›", "Next lesion (n)", () => viewer.nextLesion(1)),
    );
    this.updates.push(() => {
      group.hidden = !viewer.editing && !viewer.series.some((one) => one.data.lesions.length);
    });
    return group;
  }

  linkGroup() {
    const { viewer } = this,
      button = this.button(
        "Linked",
        "Link the two timepoints in space (l)",
        () => viewer.setLinked(!viewer.linked),
        () => viewer.linked,
      );
    this.updates.push(() => {
      button.textContent = viewer.linked ? "Linked" : "Not linked";
    });
    return this.group("Link", button);
  }

  refresh() {
    if (!this.viewer.active) return;
    for (const update of this.updates) update();
    if (!this.said) this.status.replaceChildren(...this.legend());
  }

  // What the colours mean, and what the registration said.
  legend() {
    const { viewer } = this,
      spans = [],
      seen = new Set();
    for (const { lesion_id: id, colour, volume_mm3: volume, rejected } of viewer.active.series.data.lesions) {
      if (seen.has(id)) continue;
      seen.add(id);
      spans.push(
        element(
          "span",
          {},
          Object.assign(element("i"), { style: `background:${colour}` }),
          `${id} ${(volume / 1000).toFixed(1)} mL${rejected ? ", rejected" : ""}`,
        ),
      );
    }
    if (viewer.options.changes && viewer.active.series.data.against) {
      spans.push(
        element(
          "span",
          {},
          Object.assign(element("i"), { style: `background:${ADDED}` }),
          `added since v${viewer.active.series.data.against.version}`,
        ),
      );
      spans.push(element("span", {}, Object.assign(element("i"), { style: `background:${REMOVED}` }), "removed"));
    }
    if (viewer.link && !viewer.link.converged)
      spans.push(element("span", { className: "warn" }, `Not linked. ${viewer.link.message}`));
    else if (viewer.link && !viewer.linked)
      spans.push(element("span", { className: "warn" }, "Not linked: each side moves by itself."));
    if (!spans.length)
      spans.push(element("span", {}, viewer.active.series.data.mask ? "The mask is empty." : "No mask is shown."));
    return spans;
  }

  // A sentence in the line below; the legend comes back after some seconds.
  say(text) {
    clearTimeout(this.said);
    this.said = text
      ? setTimeout(() => {
          this.said = 0;
          this.refresh();
        }, 5000)
      : 0;
    if (text) this.status.replaceChildren(element("span", { className: "warn" }, text));
    else this.refresh();
  }

  showHelp(shown) {
    const mouse = [
      ["wheel", "slices; with ctrl: zoom"],
      ["left", "the chosen tool; the crosshair at first"],
      ["right drag", "window: across width, up and down centre"],
      ["middle drag, space", "pan"],
      ["one finger", "slices; a tap puts the crosshair"],
      ["two fingers", "zoom and pan"],
    ];
    const rows = [...this.viewer.keys.map(({ key, what }) => [key.replace("Arrow", ""), what]), ...mouse];
    this.help.replaceChildren(
      element("h4", { textContent: "Keys and pointer" }),
      element(
        "dl",
        {},
        ...rows.map(([key, what]) =>
          element("div", {}, element("dt", { textContent: key }), element("dd", { textContent: what })),
        ),
      ),
    );
    this.help.hidden = !shown;
  }
}

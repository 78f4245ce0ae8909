// The controls above and beside the panes, and the line below them.
import { element } from "../lib/element.js";
import { Controls } from "./controls.js";
import {
  imageGroup,
  layoutGroup,
  lesionGroup,
  linkGroup,
  maskGroup,
  measureGroup,
  planeGroup,
  toolGroups,
} from "./groups.js";
import { keyList } from "./keys.js";
import { legend } from "./legend.js";

/** @import { Viewer } from "./viewer.js" */

const SAID_MS = 5000;

export class Toolbar extends Controls {
  /** bars of others, below the first @type {HTMLElement[]} */
  lines = [];
  footer = element("div", { className: "footer" });
  status = element("span", { className: "status", role: "status" });
  help = element("div", { className: "help", hidden: true, role: "dialog", "aria-label": "Keys" });
  bar = element("div", { className: "bar", role: "toolbar", "aria-label": "Viewer" });
  rail = element("div", {
    className: "bar rail",
    role: "toolbar",
    "aria-label": "Tools",
    "aria-orientation": "vertical",
  });
  built = false;
  /** a sentence is shown until then; 0: the legend is @type {number} */
  said = 0;

  /** @param {Viewer} viewer */
  constructor(viewer) {
    super();
    this.viewer = viewer;
  }

  build() {
    const { viewer } = this;
    this.bar.replaceChildren(
      planeGroup(this),
      layoutGroup(this),
      imageGroup(this),
      maskGroup(this),
      lesionGroup(this),
      measureGroup(this),
    );
    if (viewer.link) this.bar.append(linkGroup(this));
    if (viewer.registering) this.bar.append(viewer.registering.group(this));
    this.bar.append(
      this.group(
        "Help",
        this.button("?", "Keys (?)", () => this.showHelp(!this.helpShown)),
      ),
    );
    this.help.addEventListener("click", () => this.showHelp(false));
    this.rail.prepend(...toolGroups(this));
    if (viewer.registering) this.rail.append(viewer.registering.markGroup(this));
    this.footer.prepend(this.status);
    const work = element("div", { className: "work" }, this.rail, viewer.room, ...viewer.over);
    viewer.root.replaceChildren(this.bar, ...this.lines, work, this.help, this.footer);
    this.built = true;
  }

  refresh() {
    if (!this.built) return;
    for (const update of this.updates) update();
    if (!this.said) this.status.replaceChildren(...legend(this.viewer));
  }

  /**
   * A sentence in the line below; the legend comes back after some seconds, or at once for no sentence.
   * @param {string} text
   */
  say(text) {
    clearTimeout(this.said);
    this.said = 0;
    if (!text) return this.refresh();
    this.status.replaceChildren(element("span", { className: "warn" }, text));
    this.said = setTimeout(() => {
      this.said = 0;
      this.refresh();
    }, SAID_MS);
  }

  get helpShown() {
    return !this.help.hidden;
  }

  /** @param {boolean} shown */
  showHelp(shown) {
    this.help.replaceChildren(...keyList(this.viewer.keys));
    this.help.hidden = !shown;
  }
}

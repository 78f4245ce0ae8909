// What is done with the chosen measurement: kept, of which lesion, as which diameter; or deleted.
import { element } from "../lib/element.js";
import { wholeLesions } from "../lib/naming.js";

/** @import { Drawing, MeasurementSets } from "../lib/types.d.ts" */
/** @import { Measuring } from "./measuring.js" */

/** @type {MeasurementSets[]} */
const SETS = ["longest diameter", "short axis"];
const ROLE = "Keeping a measurement needs the role reader, adjudicator or administrator";

/**
 * What a measurement can be kept as: words, the lesion that it is of, the diameter that it sets.
 * @param {Drawing} drawing
 * @param {string[]} lesions
 * @returns {{words: string, lesion: string | null, sets: MeasurementSets | null}[]}
 */
export function choicesOf({ kind }, lesions) {
  return [
    { words: "a measurement", lesion: null, sets: null },
    ...lesions.flatMap((lesion) => [
      ...(kind === "length" ? SETS : []).map((sets) => ({ words: `${sets} of ${lesion}`, lesion, sets })),
      { words: `a measurement of ${lesion}`, lesion, sets: null },
    ]),
  ];
}

export class MeasureBar {
  box = element("div", { className: "measured", role: "group", "aria-label": "Measurement", hidden: true });
  /** the choice is kept while the same drawing is chosen @type {{of: Drawing | null, n: number}} */
  picked = { of: null, n: 0 };

  /** @param {Measuring} measuring */
  constructor(measuring) {
    this.measuring = measuring;
    this.viewer = measuring.viewer;
    this.viewer.over.push(this.box);
  }

  /** The patient's lesions that are on the drawing's timepoint, the one that is worked on first. @param {Drawing} drawing */
  lesions({ timepoint }) {
    const series = this.measuring.seriesOf(timepoint);
    if (!series) return [];
    const names = [
        ...wholeLesions(series.data).map(({ id }) => id),
        ...series.data.offered.map((one) => one.lesion_id),
      ],
      linked = [...new Set(names)].filter((name) => /^L\d+$/.test(name)),
      { lesionKey } = this.viewer;
    return linked.sort((a, b) => Number(b === lesionKey) - Number(a === lesionKey));
  }

  show() {
    const { chosen, flips } = this.measuring;
    this.box.hidden = !chosen;
    if (!chosen) return this.box.replaceChildren();
    this.box.replaceChildren(...(chosen.kept ? this.keptParts(chosen) : flips ? this.flipParts() : this.parts(chosen)));
  }

  /** @param {Drawing} drawing */
  keptParts({ kept }) {
    const said = `Kept by ${kept?.person} on ${kept?.created_at.slice(0, 10)}. It is withdrawn in Review, under Measured by hand.`;
    return [
      element("span", {}, `${kept?.words}. ${said}`),
      this.button("Close", "Close", () => this.measuring.choose(null)),
    ];
  }

  flipParts() {
    return [
      element("span", { className: "warn" }, this.measuring.flips),
      this.button("Keep all the same", "Keep it; that it changes the response is recorded", () => this.keep()),
      this.button("No", "Do not keep it", () => {
        this.measuring.forget();
        this.show();
      }),
    ];
  }

  /** @param {Drawing} drawing */
  parts(drawing) {
    const choices = choicesOf(drawing, this.lesions(drawing));
    if (this.picked.of !== drawing) this.picked = { of: drawing, n: 0 };
    const list = element("select", { "aria-label": "Keep as", title: "What it is kept as" });
    list.append(...choices.map(({ words }, n) => element("option", { value: String(n), textContent: words })));
    list.value = String(this.picked.n);
    list.addEventListener("change", () => {
      this.picked.n = Number(list.value);
      list.blur();
    });
    const may = this.viewer.data.keep,
      keep = this.button("Keep", may ? "Keep it with the timepoint, for everybody" : ROLE, () => this.keep());
    keep.disabled = !may || this.measuring.asking;
    list.disabled = !may;
    return [
      element("span", {}, "Keep as"),
      list,
      keep,
      this.button("Delete", "Delete it (Del)", () => this.measuring.remove()),
    ];
  }

  keep() {
    const { chosen } = this.measuring;
    if (!chosen) return;
    const { lesion, sets } = choicesOf(chosen, this.lesions(chosen))[this.picked.n];
    void this.measuring.keep(lesion, sets);
  }

  /**
   * @param {string} text
   * @param {string} title
   * @param {() => void} action
   */
  button(text, title, action) {
    const made = element("button", { type: "button", textContent: text, title, "aria-label": `${text} measurement` });
    made.addEventListener("click", action);
    return made;
  }
}

// What the colours mean, and what the registration said: the line below the panes.
import { element } from "../lib/element.js";
import { tintedGrey } from "../lib/levels.js";
import { inWords, wholeLesions } from "../lib/naming.js";
import { ADDED, REMOVED } from "./mask_layer.js";

/** @import { Viewer } from "./viewer.js" */

/**
 * A text with the colour that it explains before it.
 * @param {string} colour
 * @param {string} text
 */
function entry(colour, text) {
  const patch = element("i");
  patch.style.background = colour;
  return element("span", {}, patch, text);
}

/** @param {Viewer} viewer */
export function legend(viewer) {
  const { data } = viewer.active.series,
    entries = [];
  for (const { id, colour, volume_mm3: volume, rejected } of wholeLesions(data)) {
    entries.push(entry(colour, `${inWords(id)} ${(volume / 1000).toFixed(1)} mL${rejected ? ", rejected" : ""}`));
  }
  if (viewer.options.changes && data.against) {
    entries.push(entry(ADDED, `added since v${data.against.version}`), entry(REMOVED, "removed"));
  }
  const over = viewer.active.over.series;
  if (over && viewer.registering?.look === "overlay") {
    const [red, green, blue] = tintedGrey(255);
    entries.push(entry(`rgb(${red} ${green} ${blue})`, `laid over: ${over.data.title}`));
  }
  const { link } = viewer;
  if (link && !link.converged) entries.push(element("span", { className: "warn" }, `Not linked. ${link.message}`));
  else if (link && !viewer.linked) {
    entries.push(element("span", { className: "warn" }, "Not linked: each side moves by itself."));
  }
  if (!entries.length) entries.push(element("span", {}, data.mask ? "The mask is empty." : "No mask is shown."));
  return entries;
}

// Which lesion is looked at, and the way there.
import { apply, invert, PLANES } from "../lib/geometry.js";

/** @import { Viewer } from "./viewer.js" */

/**
 * At the start: near the largest lesion by what the page says, then on its largest slice once the mask is there.
 * @param {Viewer} viewer
 */
export function jumpToLargest(viewer) {
  const [first] = viewer.series,
    [largest] = [...first.data.lesions].sort((a, b) => b.volume_mm3 - a.volume_mm3);
  if (!largest) return;
  viewer.lesion = largest.label;
  viewer.waitsForMask = true;
  viewer.setCursor(first, largest.centroid_mm);
}

/**
 * @param {Viewer} viewer
 * @param {number} step 1: the next one, -1: the one before
 */
export function nextLesion(viewer, step) {
  const labels = viewer.active.series.data.lesions.map((lesion) => lesion.label);
  if (!labels.length) return viewer.say("There is no lesion in this mask.");
  const at = viewer.lesion === null ? -1 : labels.indexOf(viewer.lesion);
  jumpTo(viewer, labels[(at + step + labels.length) % labels.length]);
}

/**
 * Puts the cursor into a lesion, on its largest slices.
 * @param {Viewer} viewer
 * @param {number} label
 * @param {boolean} told its name and volume are said
 */
export function jumpTo(viewer, label, told = true) {
  const one = viewer.active.series,
    known = one.data.lesions.find((lesion) => lesion.label === label);
  viewer.lesion = label;
  if (known) {
    const { affine } = one.reference,
      index = apply(invert(affine), known.centroid_mm);
    for (const name of PLANES) {
      const { axis } = viewer.planeOf({ series: one, ...one.reference }, name);
      index[axis] = one.labels.largest(label, axis) ?? index[axis];
    }
    viewer.setCursor(one, apply(affine, index));
  }
  viewer.events.tell("lesion", label);
  if (told) viewer.say(known ? `${known.lesion_id}, ${(known.volume_mm3 / 1000).toFixed(1)} mL` : "");
  viewer.toolbar.refresh();
}

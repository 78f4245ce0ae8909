// Which lesion is looked at, and the way there.
import { apply, invert, PLANES } from "../lib/geometry.js";
import { inWords, labelOf, lesionOf, wholeLesions } from "../lib/naming.js";

/** @import { Viewer } from "./viewer.js" */

/**
 * At the start: near the largest lesion by what the page says, then on its largest slice once the mask is there.
 * @param {Viewer} viewer
 */
export function jumpToLargest(viewer) {
  const [first] = viewer.series,
    [largest] = [...first.data.lesions].sort((a, b) => b.volume_mm3 - a.volume_mm3);
  if (!largest) return;
  viewer.choose(lesionOf(first.data, largest.label), largest.label);
  viewer.waitsForMask = true;
  viewer.setCursor(first, largest.centroid_mm);
}

/**
 * After another mask, or other links, have come: the lesion that was worked on, by the label that it has now.
 * @param {Viewer} viewer
 */
export function followLesion(viewer) {
  const [{ data }] = viewer.series,
    { lesion, lesionKey: key } = viewer;
  if (lesion === null || lesionOf(data, lesion) === key) return; // of another pane alone, or as it was
  const label = labelOf(data, key),
    [largest] = [...data.lesions].sort((a, b) => b.volume_mm3 - a.volume_mm3);
  if (label !== null) viewer.choose(key, label);
  else if (key?.startsWith("new-") || !largest) viewer.choose(lesionOf(data, lesion), lesion);
  else viewer.choose(lesionOf(data, largest.label), largest.label);
}

/**
 * @param {Viewer} viewer
 * @param {number} step 1: the next one, -1: the one before
 */
export function nextLesion(viewer, step) {
  const keys = wholeLesions(viewer.active.series.data).map(({ key }) => key);
  if (!keys.length) return viewer.say("There is no lesion in this mask.");
  const at = viewer.lesionKey === null ? -1 : keys.indexOf(viewer.lesionKey),
    from = at < 0 && step < 0 ? 0 : at;
  jumpTo(viewer, keys[(from + step + keys.length) % keys.length]);
}

/**
 * Puts the cursor into a lesion of the active pane, on its largest slices.
 * @param {Viewer} viewer
 * @param {string} key of the lesion (`lesionOf`)
 * @param {boolean} told its name and volume are said
 */
export function jumpTo(viewer, key, told = true) {
  const one = viewer.active.series,
    label = labelOf(one.data, key),
    known = one.data.lesions.find((lesion) => lesion.label === label);
  viewer.choose(key);
  if (known && label !== null) {
    const { affine } = one.reference,
      index = apply(invert(affine), known.centroid_mm);
    for (const name of PLANES) {
      const { axis } = viewer.planeOf({ series: one, ...one.reference }, name);
      index[axis] = one.labels.largest(label, axis) ?? index[axis];
    }
    viewer.setCursor(one, apply(affine, index));
  }
  viewer.events.tell("lesion", viewer.lesion);
  const whole = wholeLesions(one.data).find((lesion) => lesion.key === key);
  if (told) viewer.say(whole ? `${inWords(whole.id)}, ${(whole.volume_mm3 / 1000).toFixed(1)} mL` : "");
  viewer.toolbar.refresh();
}

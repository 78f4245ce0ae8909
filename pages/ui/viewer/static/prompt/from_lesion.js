// What a lesion has already, as the prompt to start from.
import { apply, rounded } from "../lib/geometry.js";
import { indexOf, indexOnSlice, inPlane } from "../lib/grid.js";

/** @import { ScanSlice } from "../lib/types.d.ts" */
/** @import { Prompting } from "./prompts.js" */
/** @import { SliceMap } from "./slice_answers.js" */

/**
 * A box around what the lesion has on its largest slice in this plane: the network's answer as the starting prompt.
 * @param {Prompting} prompting
 */
export function fromLesion(prompting) {
  const { session, viewer } = prompting,
    { label, editor } = session,
    pane = viewer.active,
    why = session.refusal(pane);
  if (why || !editor) return viewer.say(why);
  const { axis } = pane.plane,
    counts = new Uint32Array(editor.shape[axis]);
  for (let p = 0; p < editor.array.length; p++) {
    if (editor.array[p] === label) counts[indexOf(editor.shape, p)[axis]]++;
  }
  const slice = counts.indexOf(Math.max(...counts)),
    box = editor.boxOn(label, axis, slice);
  if (!box) return viewer.say(`${session.lesionName} has no voxels yet: draw a box.`);
  viewer.goTo(pane, slice);
  const at = prompting.place(pane);
  if (!at) return viewer.say("This scan lies obliquely to the plane. Choose another scan or plane.");
  const [x0, y0] = inSlice(prompting.mapOf(at.scan), at, axis, slice, box[0], box[1]),
    [x1, y1] = inSlice(prompting.mapOf(at.scan), at, axis, slice, box[2], box[3]);
  const coords = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
  prompting.add({ type: "box", scan: at.scan.scan_id, axis: at.axis, slice: at.slice, coords });
}

/**
 * A place on a slice of the reference grid in the coordinates of a scan's slice, within it.
 * @param {SliceMap} map
 * @param {ScanSlice} at
 * @param {number} axis of the reference grid
 * @param {number} slice of the reference grid
 * @param {number} x
 * @param {number} y
 */
function inSlice(map, at, axis, slice, x, y) {
  const found = rounded(apply(map.toScan, indexOnSlice(axis, slice, x, y)));
  return inPlane(at.axis).map((n) => Math.max(0, Math.min(at.scan.shape[n] - 1, found[n])));
}

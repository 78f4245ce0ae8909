// What becomes of a draft: a version, nothing, or, after a conflict, one side of it.
import { messageOf, ServerError } from "../lib/requests.js";

/** @import { FetchedDraft, SavedVersion } from "../lib/types.d.ts" */
/** @import { LabelEditor } from "./edit.js" */
/** @import { Editing } from "./editing.js" */

/**
 * A new version's difference from its parent.
 * @param {SavedVersion} saved
 */
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

/**
 * Makes a version of the draft.
 * @param {Editing} session
 */
export async function save(session) {
  const { editor, draft } = session;
  if (!editor || !draft || session.saving) return;
  editor.commit();
  if (session.prompting.preview)
    return session.viewer.say("Keep or drop the model's answer first (Enter or Backspace).");
  if (!draft.exists) return session.viewer.say("Nothing was changed yet: there is no draft to save.");
  session.saving = true;
  session.bar.refresh();
  try {
    const saved = await draft.save();
    session.editor = null; // what is on the screen is the new version now; no stroke may go into the old one
    session.viewer.say(`Saved as v${saved.version}. ${inWords(saved)}`);
    session.viewer.emit("saved", { ...saved, nonce: Date.now() });
  } catch (error) {
    if (error instanceof ServerError && error.status === 409) await draft.failed(error);
    session.viewer.say(messageOf(error));
  }
  session.saving = false;
  session.bar.refresh();
}

/**
 * Gives the draft up: the version is shown as it was.
 * @param {Editing} session
 */
export async function discard(session) {
  try {
    await session.draft?.discard();
  } catch (error) {
    return session.viewer.say(messageOf(error));
  }
  session.attached = undefined;
  session.viewer.data.draft = null;
  session.series.labels.maskId = undefined; // fetched again, without the draft
  await session.series.show("labels", session.series.data.mask);
  if (!session.series.data.mask) session.attach();
  session.viewer.say("The draft was given up; the version is as it was.");
  session.viewer.emit("drafted", { there: false, nonce: Date.now() });
}

/**
 * Asks the page for a decision, once the server has all that was drawn.
 * @param {Editing} session
 * @param {"accept" | "reject"} verdict
 */
export async function decide(session, verdict) {
  const { editor, draft, viewer } = session;
  editor?.commit();
  if (session.prompting.preview) return viewer.say("Keep or drop the model's answer first (Enter or Backspace).");
  await draft?.flush();
  if (draft?.dirty)
    return viewer.say("Not all that you drew has reached the server, so nothing can be decided yet. See below.");
  viewer.emit("decide", { verdict, nonce: Date.now() });
}

/**
 * Ends a conflict.
 * @param {Editing} session
 * @param {boolean} mine what is on the screen becomes the draft; false: what the server has
 */
export async function settle(session, mine) {
  const { editor, draft } = session;
  if (!editor || !draft) return;
  try {
    await draft.settle((theirs) => (mine ? differing(editor, theirs.array) : takeTheirs(session, editor, theirs)));
    session.viewer.say(mine ? "Your side is the draft now." : "The other side is shown; undo brings yours back.");
  } catch (error) {
    session.viewer.say(messageOf(error));
  }
  session.bar.refresh();
}

/**
 * @param {Editing} session
 * @param {LabelEditor} editor
 * @param {FetchedDraft} theirs
 */
function takeTheirs(session, editor, { array, answers, lesions }) {
  session.drewAs(lesions);
  const after = session.prompting.asTaken(answers);
  editor.onChange = () => {}; // what comes from the server need not go back there
  editor.replace("taking the other side", array, { before: session.prompting.taken, after });
  session.prompting.taken = after;
  editor.onChange = (change) => session.changed(change);
  session.viewer.labelsChanged(session.series);
  return null;
}

/**
 * Slices in which the editor's labels are not those of another map.
 * @param {LabelEditor} editor
 * @param {Uint8Array} theirs
 */
function differing({ array, plane, shape }, theirs) {
  const slices = Array.from({ length: shape[2] }, (_, k) => k);
  return slices.filter((k) => {
    for (let p = k * plane; p < (k + 1) * plane; p++) if (theirs[p] !== array[p]) return true;
    return false;
  });
}

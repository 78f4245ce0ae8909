// Keys of editing: the tools' own, the brush's size, undo, and what becomes of the model's answer.
import { save } from "./saving.js";

/** @import { Editing } from "./editing.js" */

/** @param {Editing} session */
export function editKeys(session) {
  const { viewer, prompting } = session,
    tool = () => viewer.tools.get(viewer.tool);
  for (const { key, title, name } of viewer.tools.values()) {
    const known = viewer.keys.some((one) => one.key === key);
    if (!known) viewer.addKey(key, title.toLowerCase(), () => viewer.setTool(name));
  }
  viewer.addKey("[", "smaller brush", () => session.resize(1 / 1.25));
  viewer.addKey("]", "larger brush", () => session.resize(1.25));
  viewer.addKey("j", "brush in all directions (ball), or flat", () => session.toggleBall());
  viewer.addKey("ctrl+z", "undo; with shift do again", (event) => (event.shiftKey ? session.redo() : session.undo()));
  viewer.addKey("ctrl+y", "do again", () => session.redo());
  viewer.addKey("ctrl+s", "save as a version", () => save(session));
  viewer.addKey("Enter", "keep the model's answer; close a polygon", (event) => {
    if (!tool()?.enter?.(event)) prompting.keep();
  });
  viewer.addKey("Backspace", "drop the model's answer; a polygon's last corner", () => {
    if (!tool()?.back?.()) prompting.drop();
  });
  viewer.addKey("Delete", "delete the chosen measurement, or the box or point under the pointer", () => {
    if (!viewer.measuring?.remove()) prompting.deleteChosen();
  });
}

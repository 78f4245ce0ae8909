// Buttons, sliders and lists that show what is true whenever they are refreshed. Each has a name for those who do not
// see it.
import { element } from "../lib/element.js";

/** What can be chosen in a list: its value, and what is read. @typedef {[value: string, text: string]} Choice */

export class Controls {
  /** run at every refresh @type {(() => void)[]} */
  updates = [];

  /**
   * @param {string} label
   * @param {(Node | string)[]} children
   */
  group(label, ...children) {
    return element("span", { className: "group", role: "group", "aria-label": label }, ...children);
  }

  /**
   * @param {string} text
   * @param {string} label with its key in brackets, which is no part of the name
   * @param {() => void} action
   * @param {() => boolean} [pressed]
   */
  button(text, label, action, pressed) {
    const name = label.replace(/ \([^()]{1,6}\)$/, "");
    const made = element("button", { type: "button", textContent: text, title: label, "aria-label": name });
    made.addEventListener("click", () => {
      action();
      made.blur();
    });
    if (pressed) this.updates.push(() => made.setAttribute("aria-pressed", String(pressed())));
    return made;
  }

  /**
   * @param {string} label
   * @param {{min: number, max: number, step: number}} range
   * @param {() => number} read
   * @param {(value: number) => void} write
   */
  slider(label, range, read, write) {
    const made = element("input", { type: "range", ...range, title: label, "aria-label": label });
    made.addEventListener("input", () => write(Number(made.value)));
    this.updates.push(() => {
      made.value = String(read());
    });
    return made;
  }

  /**
   * @param {string} label
   * @param {() => Choice[]} options
   * @param {() => string} read
   * @param {(value: string) => void} write
   */
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
      if (key !== shown) {
        made.replaceChildren(...now.map(([value, text]) => element("option", { value, textContent: text })));
      }
      shown = key;
      made.value = read();
    });
    return made;
  }
}

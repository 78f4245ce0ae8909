// What modules of a viewer tell each other.

/** @import { ViewerEvents } from "./types.d.ts" */

export class Events {
  /** @type {{[E in keyof ViewerEvents]: ((value: ViewerEvents[E]) => void)[]}} */
  listeners = { data: [], lesion: [], labels: [], slice: [], close: [] };

  /**
   * @template {keyof ViewerEvents} E
   * @param {E} event
   * @param {(value: ViewerEvents[E]) => void} listener
   */
  on(event, listener) {
    this.listeners[event].push(listener);
  }

  /**
   * @template {keyof ViewerEvents} E
   * @param {E} event
   * @param {ViewerEvents[E]} value
   */
  tell(event, value) {
    for (const listener of this.listeners[event]) listener(value);
  }
}

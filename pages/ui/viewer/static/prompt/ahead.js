// Embedding ahead of the cursor, so that the model can answer at once.
import { fetchFrom, messageOf } from "../lib/requests.js";

/** @import { Prompting } from "./prompts.js" */

const AHEAD_MS = 300,
  POLL_MS = 1500;

export class Ahead {
  /** slices that the model is ready for @type {Set<number>} */
  ready = new Set();
  /** slices that are being made ready @type {number | undefined} */
  queued;
  /** why it cannot be asked, in words */
  problem = "";
  /** the model was woken up */
  woken = false;
  closed = false;
  /** @type {number | undefined} */
  timer;

  /** @param {Prompting} prompting */
  constructor(prompting) {
    this.prompting = prompting;
  }

  /** The cursor has moved: what is ahead of it is asked for once it rests. */
  moved() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), AHEAD_MS);
  }

  /**
   * Has the slices around the cursor embedded. Until a prompt tool is chosen only once, which also wakes the model
   * up.
   */
  async ask() {
    const { prompting } = this,
      { viewer, session } = prompting,
      working = viewer.tools.get(viewer.tool)?.kind === "Prompt",
      at = prompting.seenSlice();
    if (!at || (this.woken && !working) || !session.editor) return;
    this.woken = true;
    try {
      const body = JSON.stringify({ scan: at.scan.sha256, axis: at.axis, slice: at.slice }),
        answer = await fetchFrom(viewer.auth, "ahead", { method: "POST", body });
      /** @type {{embedded: number[], queued: number}} */
      const { embedded, queued } = await answer.json();
      this.ready = new Set(embedded);
      this.problem = "";
      this.queued = queued;
      if (working && queued && !this.closed) this.timer = setTimeout(() => this.ask(), POLL_MS);
    } catch (error) {
      this.problem = messageOf(error);
    }
    session.bar.refresh();
  }

  /** How soon the model could answer on the slice that is seen. */
  get readiness() {
    const at = this.prompting.seenSlice();
    if (this.problem || !at) return this.problem;
    if (this.ready.has(at.slice)) return "the model is ready for this slice";
    return `preparing the slices around (${this.queued ?? "…"} to go)`;
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
  }
}

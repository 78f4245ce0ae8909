// The model's answer carried through the slices, one by one as they come.
import { inPlane } from "../lib/grid.js";
import { fetchFrom, messageOf } from "../lib/requests.js";
import { hasBit, pack } from "./slice_answers.js";

/** @import { PackedBits, Pair, Prompt, PropagateLine, ScanSlice, Stop } from "../lib/types.d.ts" */
/** @import { Prompting } from "./prompts.js" */

/**
 * What is going on: how many slices have come, and which was the last.
 * @typedef {{abort: AbortController, slices: number, slice?: number}} Run
 */

/**
 * "all": both ways; "here": to the slice that is seen; "from": anew from that slice, outwards.
 * @typedef {"all" | "here" | "from"} How
 */

/**
 * Body of `propagate` (README.md).
 * @typedef {{from: (PackedBits & {slice: number}) | null, until: Pair | null}} Bounds
 */

export class Propagation {
  /** @type {Run | null} */
  running = null;
  /** where the last one ended, and why @type {Stop[]} */
  stops = [];

  /** @param {Prompting} prompting */
  constructor(prompting) {
    this.prompting = prompting;
  }

  /** @param {How} how */
  async start(how) {
    const { viewer, session, list } = this.prompting,
      pane = viewer.active,
      why = session.refusal(pane);
    if (why) return viewer.say(why);
    const at = this.prompting.place(pane);
    if (at?.axis !== 2) {
      return viewer.say("Going through the slices works on the planes of the file (k). Choose that plane.");
    }
    const lesion = session.label,
      prompts = list.filter((p) => p.axis === 2 && p.scan === at.scan.scan_id && p.lesion === lesion),
      bounds = this.bounds(how, at, prompts);
    if (typeof bounds === "string") return viewer.say(bounds);
    this.stop();
    if (!bounds.from) for (const prompt of prompts) prompt.fromVersion = false;
    await this.follow(at, lesion, {
      scan: at.scan.sha256,
      lesion,
      prompts: prompts.map(this.prompting.plain),
      ...bounds,
    });
  }

  /**
   * From where and how far to go; a sentence where there is nothing to begin with.
   * @param {How} how
   * @param {ScanSlice} at
   * @param {Prompt[]} prompts
   * @returns {Bounds | string}
   */
  bounds(how, at, prompts) {
    const { session } = this.prompting;
    if (how === "from") {
      const from = { slice: at.slice, ...this.maskOn(at, session.label) };
      return from.shape[0] ? { from, until: null } : `${session.lesionName} has nothing on this slice to go on from.`;
    }
    if (!prompts.length) return "Draw a box around the lesion first.";
    const slices = [...prompts.map((p) => p.slice), at.slice];
    return { from: null, until: how === "here" ? [Math.min(...slices), Math.max(...slices)] : null };
  }

  /**
   * @param {ScanSlice} at
   * @param {number} lesion
   * @param {object} request body of `propagate`
   */
  async follow({ scan }, lesion, request) {
    const { viewer, session } = this.prompting;
    /** @type {Run} */
    const run = { abort: new AbortController(), slices: 0 };
    this.running = run;
    this.stops = [];
    session.bar.refresh();
    try {
      const body = JSON.stringify(request),
        answer = await fetchFrom(viewer.auth, "propagate", { method: "POST", body, signal: run.abort.signal });
      await readLines(answer, (line) => this.take(line, run, scan.scan_id, lesion));
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) viewer.say(messageOf(error));
    }
    if (this.running === run) this.running = null;
    session.bar.refresh();
  }

  /**
   * @param {PropagateLine} line
   * @param {Run} run
   * @param {string} scan
   * @param {number} lesion
   */
  take(line, run, scan, lesion) {
    if (line.error) this.prompting.viewer.say(line.error);
    else if (line.stops) this.stops = line.stops;
    else if (this.running === run) {
      run.slices++;
      run.slice = line.slice;
      this.prompting.take({ scan, axis: 2, slice: line.slice, lesion }, line);
    }
  }

  stop() {
    this.running?.abort.abort();
    this.running = null;
  }

  /**
   * The lesion on a slice, of the preview where it has one: what `from` wants.
   * @param {ScanSlice} at
   * @param {number} lesion
   */
  maskOn({ scan, axis, slice }, lesion) {
    const { answers, session } = this.prompting,
      known = answers.get(this.prompting.key({ scan: scan.scan_id, axis, slice, lesion })),
      map = this.prompting.mapOf(scan),
      [u, v] = inPlane(axis);
    /**
     * @param {number} a
     * @param {number} b
     */
    const drawn = (a, b) => {
      const p = map.nearest(axis, slice, a, b);
      return p >= 0 && session.editor?.array[p] === lesion;
    };
    return pack([scan.shape[u], scan.shape[v]], known ? (a, b) => hasBit(known.bits, a, b) : drawn);
  }
}

/**
 * Lines of JSON as they arrive.
 * @param {Response} answer
 * @param {(line: PropagateLine) => void} take
 */
async function readLines(answer, take) {
  if (!answer.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(JSON.parse(line));
  }
}

// Keeps a draft on the server as it is made: dirty slices only, one request at a time, with a revision. What could not be
// saved stays dirty and is tried again; what somebody else saved meanwhile is never overwritten without being asked.
import { fetchFrom } from "../lib/volume.js";

const DEBOUNCE_MS = 250,
  AGAIN_MS = [1000, 2000, 5000, 15000];

const gzip = (parts) => new Response(new Blob(parts).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();

export class Draft {
  // place: {patient_id, timepoint, parent_version}; known: {draft_id, revision} or null, of a draft that is there already;
  // read: {slice(k) -> Uint8Array, prompts() -> [...], answers() -> [ids of the server's answers that it has], depth};
  // onState(draft) is told whenever something below changes.
  constructor(auth, place, known, read, onState) {
    Object.assign(this, { auth, place, read, onState, id: known?.draft_id ?? null, revision: known?.revision ?? 0 });
    Object.assign(this, {
      slices: new Set(),
      what: [],
      promptsDirty: false,
      failures: 0,
      sending: null,
      conflict: null,
      problem: "",
      notice: "",
      savedAt: null,
      closed: false,
    });
    this.guard = (event) => {
      if (this.dirty) event.preventDefault();
    };
    window.addEventListener("beforeunload", this.guard);
  }

  get dirty() {
    return this.slices.size > 0 || this.promptsDirty;
  }
  get exists() {
    return this.id !== null || this.dirty;
  }

  // In words, for the line below the tools.
  get state() {
    if (this.conflict) return "conflict";
    if (this.problem) return "problem";
    if (this.failures) return "offline";
    if (this.sending || this.dirty) return "saving";
    return this.id ? "saved" : "none";
  }

  changed({ what, slices = [], prompts = false }) {
    for (const k of slices) this.slices.add(k);
    this.promptsDirty ||= prompts;
    if (what) this.what.push(what);
    this.later(DEBOUNCE_MS);
    this.onState(this);
  }

  later(ms) {
    clearTimeout(this.timer);
    if (!this.closed) this.timer = setTimeout(() => this.flush(), ms);
  }

  // Sends what is dirty; resolves when nothing is, or when it cannot be sent now (then `dirty` still holds).
  async flush() {
    clearTimeout(this.timer);
    if (this.sending) await this.sending;
    if (!this.dirty || this.conflict || this.closed) return;
    this.sending = this.send();
    this.onState(this);
    await this.sending;
    this.sending = null;
    if (this.dirty && !this.conflict && !this.problem)
      this.later(this.failures ? AGAIN_MS[Math.min(this.failures, AGAIN_MS.length) - 1] : 0);
    this.onState(this);
  }

  async send() {
    const slices = [...this.slices].sort((a, b) => a - b),
      { what, promptsDirty } = this,
      began = performance.now();
    Object.assign(this, { slices: new Set(), what: [], promptsDirty: false });
    try {
      if (this.id === null) await this.open();
      const header = { slices, what: what.length > 3 ? `${what.length} steps, last ${what.at(-1)}` : what.join(", ") };
      if (promptsDirty) Object.assign(header, { prompts: this.read.prompts(), answers: this.read.answers() });
      const words = new TextEncoder().encode(JSON.stringify(header)),
        length = new Uint8Array(new Uint32Array([words.length]).buffer);
      const body = await gzip([length, words, ...slices.map((k) => this.read.slice(k))]);
      const answer = await this.request("PUT", `draft/${this.id}`, body);
      Object.assign(this, {
        revision: answer.revision,
        failures: 0,
        problem: "",
        savedAt: new Date(),
        saveMs: performance.now() - began,
      });
      if (answer.unproven?.length)
        this.notice = `The server no longer remembers ${answer.unproven.length} of the model's answers here. What they changed counts as drawn by hand.`;
    } catch (error) {
      for (const k of slices) this.slices.add(k);
      this.what = [...what, ...this.what];
      this.promptsDirty ||= promptsDirty;
      await this.failed(error);
    }
  }

  async failed(error) {
    if (error.status === 409) {
      // An edit that arrived while its answer got lost is no conflict: the other side is this one.
      const theirs = this.id === null ? null : await this.load().catch(() => null);
      if (theirs && this.read.same(theirs.array)) Object.assign(this, { revision: theirs.revision, failures: 0 });
      else this.conflict = { ...error.said };
    } else if (error.status === undefined || error.status >= 500)
      this.failures++; // no network, or a server that restarts
    else Object.assign(this, { problem: error.message, gone: error.status === 404 });
  }

  async open() {
    const answer = await this.request("POST", "draft", JSON.stringify(this.place), false);
    this.id = answer.draft_id;
    if (answer.revision === 0) {
      this.revision = 0;
      return;
    }
    // Another window made a draft of this version since this page was loaded.
    throw Object.assign(new Error("stale"), {
      status: 409,
      said: { error: "Another window of yours has begun a draft of this version.", revision: answer.revision },
    });
  }

  request(method, path, body, matched = true) {
    return fetchFrom(this.auth, path, {
      method,
      body,
      headers: matched ? { "If-Match": String(this.revision) } : {},
    }).then((answer) => answer.json());
  }

  // The draft as it was left: {array, prompts, answers, left_out}; from then on changes go on top of it.
  async fetch() {
    const { prompts, answers, left_out } = await this.request("POST", "draft", JSON.stringify(this.place), false);
    const { array, revision } = await this.load();
    this.revision = revision;
    return { array, prompts, answers, left_out };
  }

  // Its labels as they are on the server: {array, revision}.
  async load() {
    const answer = await fetchFrom(this.auth, `draft/${this.id}/labels`);
    return { array: new Uint8Array(await answer.arrayBuffer()), revision: Number(answer.headers.get("x-revision")) };
  }

  // After a conflict: their labels and answers are given to `merge`, which says what slices are to be sent on top of
  // theirs, or null where theirs is taken as it is.
  async settle(merge) {
    const theirs = await this.fetch();
    this.conflict = null;
    const differing = merge(theirs);
    Object.assign(this, {
      slices: new Set(differing ?? []),
      what: differing ? ["kept my side"] : [],
      promptsDirty: differing !== null,
    });
    if (differing) await this.flush();
    this.onState(this);
  }

  // After the draft was saved or discarded elsewhere: a new one, with all that is on the screen.
  async again() {
    Object.assign(this, {
      id: null,
      revision: 0,
      problem: "",
      gone: false,
      slices: new Set(Array.from({ length: this.read.depth }, (_, k) => k)),
      promptsDirty: true,
    });
    await this.flush();
  }

  // Makes a version of it. Raises with the server's words.
  async save() {
    await this.flush();
    if (this.dirty)
      throw new Error(
        this.problem || "Not everything could be sent to the server yet. Try again when it can be reached.",
      );
    const answer = await this.request("POST", `draft/${this.id}/save`);
    this.close();
    return answer;
  }

  async discard() {
    clearTimeout(this.timer);
    Object.assign(this, { slices: new Set(), promptsDirty: false });
    if (this.sending) await this.sending;
    if (this.id !== null) await this.request("DELETE", `draft/${this.id}`);
    this.close();
  }

  close() {
    clearTimeout(this.timer);
    this.closed = true;
    window.removeEventListener("beforeunload", this.guard);
  }
}

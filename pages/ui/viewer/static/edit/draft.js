// Keeps a draft on the server as it is made: dirty slices only, one request at a time, with a revision. What could not
// be saved stays dirty and is tried again; what somebody else saved meanwhile is never overwritten without being asked.
import { fetchFrom, ServerError } from "../lib/requests.js";

/** @import { Access, DraftLabels, DraftPlace, DraftSource, FetchedDraft, KnownDraft } from "../lib/types.d.ts" */
/** @import { OpenedDraft, Refusal, SavedVersion } from "../lib/types.d.ts" */

const DEBOUNCE_MS = 250,
  AGAIN_MS = [1000, 2000, 5000, 15000];

/** @param {BlobPart[]} parts */
const gzip = (parts) => new Response(new Blob(parts).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();

export class Draft {
  /** slices that the server has not got yet @type {Set<number>} */
  slices = new Set();
  /** what was done since, in words @type {string[]} */
  what = [];
  promptsDirty = false;
  /** how often in a row the server could not be reached */
  failures = 0;
  /** @type {Promise<void> | null} */
  sending = null;
  /** what the server says of the other side that changed this draft @type {Refusal | null} */
  conflict = null;
  /** why it cannot be saved, in words */
  problem = "";
  /** it was saved or discarded elsewhere */
  gone = false;
  /** what its person must know once */
  notice = "";
  /** changes of the mask, and not prompts alone, have reached the server since this page began it */
  drawn = false;
  /** @type {Date | null} */
  savedAt = null;
  /** milliseconds that the last saving took @type {number | undefined} */
  saveMs;
  /** @type {number | undefined} */
  timer;
  closed = false;

  /**
   * @param {Access} auth
   * @param {DraftPlace} place
   * @param {KnownDraft | null} known a draft that is there already
   * @param {DraftSource} read
   * @param {(draft: Draft) => void} onState told whenever something here changes
   */
  constructor(auth, place, known, read, onState) {
    this.auth = auth;
    this.place = place;
    this.read = read;
    this.onState = onState;
    this.id = known?.draft_id ?? null;
    this.revision = known?.revision ?? 0;
    /** @param {BeforeUnloadEvent} event */
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

  /** How it stands, for the line below the tools. */
  get state() {
    if (this.conflict) return "conflict";
    if (this.problem) return "problem";
    if (this.failures) return "offline";
    if (this.sending || this.dirty) return "saving";
    return this.id ? "saved" : "none";
  }

  /** @param {{what?: string, slices?: number[], prompts?: boolean}} change */
  changed({ what, slices = [], prompts = false }) {
    for (const k of slices) this.slices.add(k);
    this.promptsDirty ||= prompts;
    if (what) this.what.push(what);
    this.later(DEBOUNCE_MS);
    this.onState(this);
  }

  /** @param {number} ms */
  later(ms) {
    clearTimeout(this.timer);
    if (!this.closed) this.timer = setTimeout(() => this.flush(), ms);
  }

  /** Sends what is dirty; resolves when nothing is, or when it cannot be sent now (then `dirty` still holds). */
  async flush() {
    clearTimeout(this.timer);
    while (this.sending) await this.sending; // another call may have begun to send meanwhile
    if (!this.dirty || this.conflict || this.closed) return;
    this.sending = this.send();
    this.onState(this);
    await this.sending;
    this.sending = null;
    if (this.dirty && !this.conflict && !this.problem) {
      this.later(this.failures ? AGAIN_MS[Math.min(this.failures, AGAIN_MS.length) - 1] : 0);
    }
    this.onState(this);
  }

  async send() {
    const slices = [...this.slices].sort((a, b) => a - b),
      { what, promptsDirty } = this,
      began = performance.now();
    this.slices = new Set();
    this.what = [];
    this.promptsDirty = false;
    try {
      if (this.id === null) await this.open();
      const answer = await this.request("PUT", `draft/${this.id}`, await this.packed(slices, what, promptsDirty));
      /** @type {{revision: number, unproven?: string[]}} */
      const { revision, unproven = [] } = await answer.json();
      this.revision = revision;
      this.drawn ||= slices.length > 0;
      this.failures = 0;
      this.problem = "";
      this.savedAt = new Date();
      this.saveMs = performance.now() - began;
      if (unproven.length) {
        const forgotten = `${unproven.length} of the model's answers here`;
        this.notice = `The server no longer remembers ${forgotten}. What they changed counts as drawn by hand.`;
      }
    } catch (error) {
      for (const k of slices) this.slices.add(k);
      this.what = [...what, ...this.what];
      this.promptsDirty ||= promptsDirty;
      await this.failed(error);
    }
  }

  /**
   * The body of an edit: README.md, PUT `draft/{id}`.
   * @param {number[]} slices
   * @param {string[]} what
   * @param {boolean} prompts they are sent as well
   */
  packed(slices, what, prompts) {
    const header = {
      slices,
      lesions: this.read.lesions(),
      what: what.length > 3 ? `${what.length} steps, last ${what.at(-1)}` : what.join(", "),
      ...(prompts ? { prompts: this.read.prompts(), answers: this.read.answers() } : {}),
    };
    const words = new TextEncoder().encode(JSON.stringify(header)),
      length = new Uint8Array(new Uint32Array([words.length]).buffer);
    return gzip([length, words, ...slices.map((k) => new Uint8Array(this.read.slice(k)))]);
  }

  /** @param {unknown} error */
  async failed(error) {
    if (!(error instanceof ServerError) || error.status >= 500)
      this.failures++; // no network, or a server that restarts
    else if (error.status === 409) {
      // An edit that arrived while its answer got lost is no conflict: the other side is this one.
      const theirs = this.id === null ? null : await this.load().catch(() => null);
      if (theirs && this.read.same(theirs.array)) {
        this.revision = theirs.revision;
        this.failures = 0;
      } else this.conflict = { ...error.refusal };
    } else {
      this.problem = error.message;
      this.gone = error.status === 404;
    }
  }

  async open() {
    const { draft_id: id, revision } = await this.opened();
    this.id = id;
    if (revision !== 0) {
      // Another window made a draft of this version since this page was loaded.
      const error = "Another window of yours has begun a draft of this version.";
      throw new ServerError(error, 409, { error, revision });
    }
    this.revision = 0;
  }

  /** The person's open draft of this version, made if there is none. @returns {Promise<OpenedDraft>} */
  async opened() {
    const body = JSON.stringify(this.place);
    return (await fetchFrom(this.auth, "draft", { method: "POST", body })).json();
  }

  /**
   * A request that holds for the revision that is known here alone.
   * @param {string} method
   * @param {string} path
   * @param {BodyInit} [body]
   */
  request(method, path, body) {
    return fetchFrom(this.auth, path, { method, body, headers: { "If-Match": String(this.revision) } });
  }

  /** The draft as it was left; from then on changes go on top of it. @returns {Promise<FetchedDraft>} */
  async fetch() {
    const { prompts, answers, left_out, lesions } = await this.opened(),
      { array, revision } = await this.load();
    this.revision = revision;
    return { array, prompts, answers, left_out, lesions };
  }

  /** Its labels as they are on the server. @returns {Promise<DraftLabels>} */
  async load() {
    const answer = await fetchFrom(this.auth, `draft/${this.id}/labels`);
    return { array: new Uint8Array(await answer.arrayBuffer()), revision: Number(answer.headers.get("x-revision")) };
  }

  /**
   * After a conflict.
   * @param {(theirs: FetchedDraft) => number[] | null} merge says what slices are to be sent on top of theirs, or null
   *   where theirs is taken as it is
   */
  async settle(merge) {
    const theirs = await this.fetch();
    this.conflict = null;
    const differing = merge(theirs);
    this.slices = new Set(differing ?? []);
    this.what = differing ? ["kept my side"] : [];
    this.promptsDirty = differing !== null;
    if (differing) await this.flush();
    this.onState(this);
  }

  /** After the draft was saved or discarded elsewhere: a new one, with all that is on the screen. */
  async again() {
    this.id = null;
    this.revision = 0;
    this.problem = "";
    this.gone = false;
    this.slices = new Set(Array.from({ length: this.read.depth }, (_, k) => k));
    this.promptsDirty = true;
    await this.flush();
  }

  /** Makes a version of it. Throws the server's words. @returns {Promise<SavedVersion>} */
  async save() {
    await this.flush();
    if (this.dirty) {
      const later = "Not everything could be sent to the server yet. Try again when it can be reached.";
      throw new Error(this.problem || later);
    }
    const answer = await this.request("POST", `draft/${this.id}/save`),
      version = await answer.json();
    this.close();
    return version;
  }

  async discard() {
    clearTimeout(this.timer);
    this.slices = new Set();
    this.promptsDirty = false;
    while (this.sending) await this.sending;
    if (this.id !== null) await this.request("DELETE", `draft/${this.id}`);
    this.close();
  }

  close() {
    clearTimeout(this.timer);
    this.closed = true;
    window.removeEventListener("beforeunload", this.guard);
  }
}

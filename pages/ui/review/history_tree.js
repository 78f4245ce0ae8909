// The tree of versions: rows in, "open" {version, start} out. Pictures are fetched as they come into view.

/**
 * A version, as the page describes it. `folded`: hidden until its group is opened.
 * @typedef {object} Row
 * @property {string} id of the mask
 * @property {number} version
 * @property {number} depth steps to the right
 * @property {string} method
 * @property {string} status
 * @property {string} status_text
 * @property {string} changes
 * @property {string} made by whom and when
 * @property {boolean} shown
 * @property {boolean} folded
 */

/**
 * What Streamlit calls a component with.
 * @typedef {object} Component
 * @property {{rows: Row[], token: string, api: string}} data
 * @property {HTMLElement} parentElement
 * @property {(name: "open", value: {version: number, start: boolean}) => void} setTriggerValue
 */

/** The component's element keeps its tree over the reruns. @typedef {HTMLElement & {tree?: Tree, closing?: number}} Root */

/** @type {Record<string, string>} */
const SIGNS = { accepted: "\u2713", proposed: "\u25CB", rejected: "\u2715", superseded: "\u21BB" };

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | number>} attributes
 * @param {(Node | string)[]} children
 */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children); // strings become text, never HTML
  return made;
}

class Tree {
  /** mask id -> object URL @type {Map<string, string>} */
  pictures = new Map();
  /** first mask id of a group that was opened @type {Set<string>} */
  unfolded = new Set();
  /** the version that was shown last @type {number | undefined} */
  shown;

  /**
   * @param {HTMLElement} root
   * @param {Component} component
   */
  constructor(root, component) {
    this.root = root;
    this.component = component;
    this.watcher = new IntersectionObserver(
      (seen) => {
        for (const { isIntersecting, target } of seen) {
          if (isIntersecting && target instanceof HTMLImageElement) this.fetchPicture(target);
        }
      },
      { root, rootMargin: "60px" },
    );
  }

  /** @param {Component} component */
  draw(component) {
    const { rows } = component.data,
      top = this.root.scrollTop;
    this.component = component;
    this.watcher.disconnect();
    this.root.replaceChildren(...this.lines(rows));
    for (const image of this.root.querySelectorAll("img")) this.place(image);
    this.root.scrollTop = top;
    const shown = rows.find((row) => row.shown)?.version;
    if (shown !== this.shown) this.scrollTo(this.root.querySelector("[aria-current=true]"));
    this.shown = shown;
  }

  /**
   * @param {number} version
   * @param {boolean} start a new version from it
   */
  open(version, start) {
    this.component.setTriggerValue("open", { version, start });
  }

  /**
   * Brings a row into sight within the tree, without moving the page.
   * @param {Element | null} row
   */
  scrollTo(row) {
    if (!row) return;
    const box = this.root.getBoundingClientRect(),
      at = row.getBoundingClientRect();
    if (at.top < box.top || at.bottom > box.bottom) this.root.scrollTop += at.top - box.top - box.height / 3;
  }

  /** @param {Row[]} rows */
  lines(rows) {
    const out = [];
    for (let n = 0; n < rows.length; n += 1) {
      if (!rows[n].folded) {
        out.push(this.line(rows[n]));
        continue;
      }
      let end = n;
      while (end < rows.length && rows[end].folded) end += 1;
      out.push(...this.group(rows.slice(n, end)));
      n = end - 1;
    }
    return out;
  }

  /** @param {Row[]} rows that are folded together */
  group(rows) {
    const name = rows[0].id,
      open = this.unfolded.has(name),
      numbers = rows.map((row) => row.version);
    const range = `v${Math.min(...numbers)} to v${Math.max(...numbers)}`;
    const text = `${open ? "\u25BE" : "\u25B8"} ${rows.length} superseded, ${range}`;
    const fold = element("button", { class: "fold", type: "button", "aria-expanded": String(open) }, text);
    const lines = rows.map((row) => this.line(row));
    /** @param {boolean} now */
    const show = (now) => {
      for (const line of lines) {
        line.hidden = !now;
        line.style.display = now ? "" : "none";
      }
    };
    show(open);
    fold.onclick = () => {
      const now = !this.unfolded.has(name);
      if (now) this.unfolded.add(name);
      else this.unfolded.delete(name);
      fold.setAttribute("aria-expanded", String(now));
      fold.textContent = `${now ? "\u25BE" : "\u25B8"}${text.slice(1)}`;
      show(now);
    };
    return [fold, ...lines];
  }

  /** @param {Row} row */
  line(row) {
    const image = element("img", { "data-mask": row.id, alt: "", width: 48, height: 48 });
    const status = element("span", { class: `status ${row.status}` }, `${SIGNS[row.status] ?? ""} ${row.status_text}`);
    const words = element(
      "span",
      { class: "words" },
      element("span", { class: "name" }, element("b", {}, `v${row.version}`), ` ${row.method} `, status),
      element("small", {}, row.changes),
      element("small", {}, row.made),
    );
    const open = element(
      "button",
      {
        class: "open",
        type: "button",
        role: "treeitem",
        "aria-level": row.depth + 1,
        "aria-current": String(row.shown),
        title: row.shown ? "This version is shown" : `Open v${row.version}`,
      },
      image,
      words,
    );
    open.onclick = () => this.open(row.version, false);
    const what = `Start a new version from v${row.version}`;
    const start = element("button", { class: "start", type: "button", title: what, "aria-label": what }, "\u270E");
    start.onclick = () => this.open(row.version, true);
    const branch = element("span", { class: "branch" });
    const line = element("div", { class: "line", "data-depth": row.depth }, branch, open, start);
    line.style.paddingLeft = `${14 * Math.max(0, row.depth - 1)}px`;
    return line;
  }

  /** @param {HTMLImageElement} image */
  place(image) {
    const known = this.pictures.get(image.dataset.mask ?? "");
    if (known) image.src = known;
    else this.watcher.observe(image);
  }

  /** @param {HTMLImageElement} image */
  async fetchPicture(image) {
    const { token, api } = this.component.data,
      mask = image.dataset.mask ?? "";
    this.watcher.unobserve(image);
    try {
      const answer = await fetch(api + encodeURIComponent(mask), { headers: { "x-twin-token": token } });
      if (!answer.ok) return;
      const picture = await answer.blob(),
        url = this.pictures.get(mask) ?? URL.createObjectURL(picture);
      this.pictures.set(mask, url);
      image.src = url;
    } catch {
      /* no picture: the words are enough */
    }
  }

  close() {
    this.watcher.disconnect();
    for (const url of this.pictures.values()) URL.revokeObjectURL(url);
    this.pictures.clear();
  }
}

/**
 * Called at every rerun of the page.
 * @param {Component} component
 */
export default function (component) {
  /** @type {Root | null} */
  const root = component.parentElement.querySelector(".twin-history");
  if (!root) return;
  clearTimeout(root.closing);
  root.tree ??= new Tree(root, component);
  root.tree.draw(component);
  return () => {
    root.closing = setTimeout(() => {
      if (!root.isConnected) root.tree?.close();
    }, 1000);
  };
}

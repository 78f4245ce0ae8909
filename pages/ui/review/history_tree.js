// The tree of versions: rows in, "open" {version, start} out. Pictures are fetched as they come into view.

const SIGNS = { accepted: "\u2713", proposed: "\u25CB", rejected: "\u2715", superseded: "\u21BB" };

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children); // strings become text, never HTML
  return made;
}

class Tree {
  constructor(root) {
    this.root = root;
    this.pictures = new Map(); // mask id -> object URL
    this.unfolded = new Set(); // first mask id of a group that was opened
    this.watcher = new IntersectionObserver(
      (seen) => {
        for (const one of seen) if (one.isIntersecting) this.fetchPicture(one.target);
      },
      { root, rootMargin: "60px" },
    );
  }

  draw(component) {
    const { rows, token, api } = component.data;
    this.token = token;
    this.api = api;
    this.tell = (version, start) => component.setTriggerValue("open", { version, start });
    const top = this.root.scrollTop;
    this.watcher.disconnect();
    this.root.replaceChildren(...this.lines(rows));
    for (const image of this.root.querySelectorAll("img[data-mask]")) this.place(image);
    this.root.scrollTop = top;
    const shown = rows.find((row) => row.shown)?.version;
    if (shown !== this.shown) this.scrollTo(this.root.querySelector("[aria-current=true]"));
    this.shown = shown;
  }

  /** Brings a row into sight within the tree, without moving the page. */
  scrollTo(row) {
    if (!row) return;
    const box = this.root.getBoundingClientRect(),
      at = row.getBoundingClientRect();
    if (at.top < box.top || at.bottom > box.bottom) this.root.scrollTop += at.top - box.top - box.height / 3;
  }

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

  group(rows) {
    const name = rows[0].id,
      open = this.unfolded.has(name),
      numbers = rows.map((row) => row.version);
    const range = `v${Math.min(...numbers)} to v${Math.max(...numbers)}`;
    const text = `${open ? "\u25BE" : "\u25B8"} ${rows.length} superseded, ${range}`;
    const fold = element("button", { class: "fold", type: "button", "aria-expanded": String(open) }, text);
    const lines = rows.map((row) => this.line(row));
    const show = (now) =>
      lines.forEach((line) => {
        line.hidden = !now;
        line.style.display = now ? "" : "none";
      });
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
    open.onclick = () => this.tell(row.version, false);
    const what = `Start a new version from v${row.version}`;
    const start = element("button", { class: "start", type: "button", title: what, "aria-label": what }, "\u270E");
    start.onclick = () => this.tell(row.version, true);
    const line = element(
      "div",
      { class: "line", "data-depth": row.depth },
      element("span", { class: "branch" }),
      open,
      start,
    );
    line.style.paddingLeft = `${14 * Math.max(0, row.depth - 1)}px`;
    return line;
  }

  place(image) {
    const known = this.pictures.get(image.dataset.mask);
    if (known) image.src = known;
    else this.watcher.observe(image);
  }

  async fetchPicture(image) {
    const mask = image.dataset.mask;
    this.watcher.unobserve(image);
    try {
      const answer = await fetch(this.api + encodeURIComponent(mask), { headers: { "x-twin-token": this.token } });
      if (!answer.ok) return;
      if (!this.pictures.has(mask)) this.pictures.set(mask, URL.createObjectURL(await answer.blob()));
      image.src = this.pictures.get(mask);
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

export default function (component) {
  const root = component.parentElement.querySelector(".twin-history");
  clearTimeout(root.closing);
  root.tree ??= new Tree(root);
  root.tree.draw(component);
  return () => {
    root.closing = setTimeout(() => {
      if (!root.isConnected) root.tree.close();
    }, 1000);
  };
}

// Grey levels: the window (centre, width) of each kind of scan, inverted or not, and the colour tables made of them.

/** @import { Pair, Preset, Scan, Triple } from "./types.d.ts" */
/** @import { Viewer } from "../view/viewer.js" */

export class Levels {
  /** @type {Map<string, Pair>} */
  windows = new Map();
  /** modality -> dark is bright @type {Map<string, boolean>} */
  inverted = new Map();
  /** @type {Map<string, Uint32Array>} */
  tables = new Map();

  /** @param {Viewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
  }

  /**
   * CT and PET have units, so a window is for all scans of the kind; MR's is the scan's own.
   * @param {Scan} scan
   */
  windowKey(scan) {
    return scan.modality === "MR" ? scan.sha256 : scan.modality;
  }

  /** @param {Scan} scan */
  windowOf(scan) {
    return this.windows.get(this.windowKey(scan)) ?? scan.window;
  }

  /** @param {Scan} scan */
  invertedOf(scan) {
    return this.inverted.get(scan.modality) ?? scan.modality === "PET";
  }

  /**
   * @param {Scan} scan
   * @param {Pair} window
   */
  setWindow(scan, [centre, width]) {
    this.windows.set(this.windowKey(scan), [centre, Math.max(scan.slope, width)]);
    this.tables.clear();
    this.viewer.toolbar.refresh();
    this.viewer.redraw();
  }

  /** @param {Scan} scan */
  invert(scan) {
    this.inverted.set(scan.modality, !this.invertedOf(scan));
    this.tables.clear();
    this.viewer.redraw();
  }

  /**
   * @param {string} kind
   * @param {Scan} scan
   * @param {() => Uint32Array} make
   */
  table(kind, scan, make) {
    const key = `${kind} ${scan.sha256}`,
      table = this.tables.get(key) ?? make();
    this.tables.set(key, table);
    return table;
  }

  /** @param {Scan} scan */
  greys(scan) {
    return this.table("grey", scan, () => greyTable(this.windowOf(scan), scan, this.invertedOf(scan)));
  }

  /** @param {Scan} scan */
  hots(scan) {
    return this.table("hot", scan, () => hotTable(this.windowOf(scan), scan));
  }

  /** @param {Scan} scan */
  tints(scan) {
    return this.table("tint", scan, () => greyTable(this.windowOf(scan), scan, false, tintedGrey));
  }

  /**
   * @param {Scan} scan
   * @returns {Preset[]}
   */
  presets(scan) {
    const known = this.viewer.data.presets[scan.modality] ?? [];
    return known.length ? known : [["Scan's own range", ...scan.window]];
  }
}

/** @type {(grey: number) => Triple} */
const plainGrey = (grey) => [grey, grey, grey];

/** Grey levels of a scan that is laid over a grey one. @type {(grey: number) => Triple} */
export const tintedGrey = (grey) => [grey, (grey * 0.62) | 0, (grey * 0.12) | 0];

/**
 * Grey levels: a window (centre, width) in the scan's unit, for every int16 value.
 * @param {Pair} window
 * @param {Pick<Scan, "slope" | "intercept">} scan
 * @param {boolean} inverted
 * @param {(grey: number) => Triple} colour of a grey level
 */
function greyTable([centre, width], { slope, intercept }, inverted, colour = plainGrey) {
  const table = new Uint32Array(65536);
  const low = centre - width / 2;
  const colours = Array.from({ length: 256 }, (_, grey) => {
    const [red, green, blue] = colour(grey);
    return 0xff000000 | (blue << 16) | (green << 8) | red;
  });
  for (let n = 0; n < 65536; n++) {
    let grey = (((n - 32768) * slope + intercept - low) / width) * 255;
    grey = grey < 0 ? 0 : grey > 255 ? 255 : grey | 0;
    if (inverted) grey = 255 - grey;
    table[n] = colours[grey];
  }
  return table;
}

/**
 * A hot scale that begins transparent, for what is laid over another scan.
 * @param {Pair} window
 * @param {Pick<Scan, "slope" | "intercept">} scan
 */
function hotTable([centre, width], { slope, intercept }) {
  const table = new Uint32Array(65536);
  const low = centre - width / 2;
  for (let n = 0; n < 65536; n++) {
    const t = Math.min(1, Math.max(0, ((n - 32768) * slope + intercept - low) / width));
    const red = Math.min(255, t * 2.6 * 255) | 0,
      green = Math.min(255, Math.max(0, (t - 0.36) * 2.6 * 255)) | 0;
    const blue = Math.min(255, Math.max(0, (t - 0.75) * 4 * 255)) | 0,
      alpha = Math.min(255, t * 3 * 255) | 0;
    table[n] = (alpha << 24) | (blue << 16) | (green << 8) | red;
  }
  return table;
}

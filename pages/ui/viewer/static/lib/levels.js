// Grey levels: the window (centre, width) of each kind of scan, inverted or not, and the colour tables made of them.
import { greyTable, hotTable } from "./sample.js";

export class Levels {
  constructor(viewer) {
    Object.assign(this, { viewer, windows: new Map(), inverted: new Map(), tables: new Map() });
  }

  // CT and PET have units, so a window is for all scans of the kind; MR's is the scan's own.
  windowKey(scan) {
    return scan.modality === "MR" ? scan.sha256 : scan.modality;
  }
  windowOf(scan) {
    return this.windows.get(this.windowKey(scan)) ?? scan.window;
  }
  invertedOf(scan) {
    return this.inverted.get(scan.modality) ?? scan.modality === "PET";
  }

  setWindow(scan, [centre, width]) {
    this.windows.set(this.windowKey(scan), [centre, Math.max(scan.slope, width)]);
    this.tables.clear();
    this.viewer.toolbar.refresh();
    this.viewer.redraw();
  }

  invert(scan) {
    this.inverted.set(scan.modality, !this.invertedOf(scan));
    this.tables.clear();
    this.viewer.redraw();
  }

  table(kind, scan, make) {
    const key = `${kind} ${scan.sha256}`;
    if (!this.tables.has(key)) this.tables.set(key, make());
    return this.tables.get(key);
  }

  greys(scan) {
    return this.table("grey", scan, () => greyTable(this.windowOf(scan), scan, this.invertedOf(scan)));
  }
  hots(scan) {
    return this.table("hot", scan, () => hotTable(this.windowOf(scan), scan));
  }

  presets(scan) {
    const known = this.viewer.data.presets[scan.modality] ?? [];
    return known.length ? known : [["Scan's own range", ...scan.window]];
  }
}

// One timepoint: its scans, its mask and the version it is compared with.
import { messageOf } from "./requests.js";
import { Labels, Volume } from "./volume.js";

/** @import { PaneData, Scan, Version } from "./types.d.ts" */
/** @import { Viewer } from "../view/viewer.js" */

let made = 0;

export class Series {
  /** sha256 -> voxels @type {Map<string, Volume>} */
  volumes = new Map();
  /** sha256 of the scan that is laid over the shown one @type {string | null} */
  overlay = null;

  /**
   * @param {Viewer} viewer
   * @param {PaneData} data
   */
  constructor(viewer, data) {
    this.viewer = viewer;
    this.data = data;
    const reference = this.scan(data.reference);
    if (!reference) throw new Error(`The reference scan of ${data.timepoint} is not among its scans. Reload the page.`);
    this.reference = reference;
    /** sha256 of the scan that is seen */
    this.shown = data.shown ?? data.reference;
    this.labels = this.makeLabels();
    /** labels of the version that this one is compared with */
    this.before = this.makeLabels();
    /** @type {Map<number, string>} */
    this.colours = new Map();
    this.take(data);
  }

  makeLabels() {
    return new Labels(this.reference, this.viewer.auth, made++);
  }

  /**
   * What the page says now: another mask is fetched, everything that is loaded stays.
   * @param {PaneData} data
   */
  take(data) {
    this.name(data);
    this.show("labels", data.mask);
    this.show("before", data.against);
  }

  /**
   * What its labels are.
   * @param {PaneData} data
   */
  name(data) {
    this.data = data;
    this.colours = new Map([...data.lesions, ...data.offered].map((lesion) => [lesion.label, lesion.colour]));
  }

  /**
   * @param {"labels" | "before"} which
   * @param {Version | null} version
   */
  async show(which, version) {
    const wanted = version?.mask_id ?? null;
    if (this[which].maskId === wanted) return;
    const labels = this.makeLabels();
    labels.maskId = wanted;
    if (wanted) {
      try {
        await labels.load(wanted);
      } catch (error) {
        labels.problem = messageOf(error);
      }
    }
    const asked = (which === "labels" ? this.data.mask : this.data.against)?.mask_id ?? null;
    if (asked !== wanted || this.viewer.closed) return; // another was asked for meanwhile
    this[which] = labels;
    this.viewer.labelsChanged(this);
    if (which === "labels") this.viewer.maskLoaded(this);
  }

  get scans() {
    return this.data.scans;
  }

  get pet() {
    return this.scans.find((scan) => scan.modality === "PET");
  }

  /** @param {string} sha256 */
  scan(sha256) {
    return this.scans.find((scan) => scan.sha256 === sha256);
  }

  /** The scan that is seen. @returns {Scan} */
  get shownScan() {
    return this.scan(this.shown) ?? this.reference;
  }

  /**
   * @param {number} label
   * @returns {string | null} null for 0, which is no lesion
   */
  colour(label) {
    const { colours } = this.viewer.data; // those of lesions by number: a new one will probably have its label's
    return label ? (this.colours.get(label) ?? colours[(label - 1) % colours.length]) : null;
  }

  /**
   * A scan's voxels; begins to load them when first asked for.
   * @param {string} sha256
   */
  volume(sha256) {
    let volume = this.volumes.get(sha256);
    if (!volume) {
      const scan = this.scan(sha256) ?? this.reference;
      volume = new Volume(scan, this.viewer.auth, (from, n) => this.viewer.slabArrived(this, from, n));
      this.volumes.set(sha256, volume);
      this.viewer.focusOn(this, volume);
      volume.load();
    }
    return volume;
  }

  close() {
    for (const volume of this.volumes.values()) volume.close();
  }
}

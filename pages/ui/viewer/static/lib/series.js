// One timepoint: its scans, its mask and the version it is compared with.
import { Labels, Volume } from "./volume.js";

let made = 0;

export class Series {
  // data: an entry of `panes` (README.md).
  constructor(viewer, data) {
    this.viewer = viewer;
    this.volumes = new Map();
    this.reference = data.scans.find((scan) => scan.sha256 === data.reference);
    this.shown = data.shown ?? data.reference;
    this.overlay = null;
    this.labels = this.makeLabels();
    this.before = this.makeLabels();
    this.take(data);
  }

  makeLabels() {
    return Object.assign(new Labels(this.reference, this.viewer.auth), { id: made++ });
  }

  // What the page says now: another mask is fetched, everything that is loaded stays.
  take(data) {
    this.data = data;
    this.colours = new Map(data.lesions.map((lesion) => [lesion.label, lesion.colour]));
    this.show("labels", data.mask);
    this.show("before", data.against);
  }

  async show(which, version) {
    const wanted = version?.mask_id ?? null;
    if (this[which].maskId === wanted) return;
    const labels = this.makeLabels();
    labels.maskId = wanted;
    if (wanted) {
      try {
        await labels.load(wanted);
      } catch (error) {
        labels.problem = error.message;
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
  scan(sha256) {
    return this.scans.find((scan) => scan.sha256 === sha256);
  }
  colour(label) {
    const { colours } = this.viewer.data; // those of lesions by number, for ones that the page does not know yet
    return label ? (this.colours.get(label) ?? colours[(label - 1) % colours.length]) : null;
  }

  // A scan's voxels; begins to load them when first asked for.
  volume(sha256) {
    let volume = this.volumes.get(sha256);
    if (!volume) {
      volume = new Volume(this.scan(sha256), this.viewer.auth, (from, n) => this.viewer.slabArrived(this, from, n));
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

// Shapes of data: what the page gives (README.md, "What the page gives"), what routes answer, and what modules hand to
// each other. For tsc alone; the browser never loads it.

import type { Pane } from "../view/pane.js";
import type { Series } from "./series.js";

/** Three numbers along i, j, k of a grid, or x, y, z in millimetres (RAS+). */
export type Triple = [number, number, number];
/** Two numbers: across and down a picture, or centre and width of a window. */
export type Pair = [number, number];
/** x0, y0, x1, y1. */
export type Box = [number, number, number, number];
/** 4 x 4 numbers, row by row; the last row is 0 0 0 1. */
export type Affine = number[];
/** 0, 1 or 2: along i, j or k. */
export type Axis = number;

// ---- what the page gives -------------------------------------------------------------------------------------------

export interface Scan {
  sha256: string;
  scan_id: string;
  channel: string;
  modality: string;
  unit: string;
  shape: Triple;
  affine: Affine;
  /** value = stored * slope + intercept, in `unit` */
  slope: number;
  intercept: number;
  /** slices a slab */
  slab: number;
  window: Pair;
}

/** What is asked of a scan where its voxels do not matter. */
export type Grid = Pick<Scan, "shape" | "affine">;

export interface Lesion {
  label: number;
  lesion_id: string;
  /** "#rrggbb" */
  colour: string;
  volume_mm3: number;
  rejected: boolean;
  centroid_mm: Triple;
}

/** A lesion of the patient that the mask has not, under the label by which it may be drawn. */
export interface Offered {
  label: number;
  lesion_id: string;
  /** "#rrggbb" */
  colour: string;
  /** the last one that has it */
  timepoint: string;
}

export type MeasurementKind = "length" | "angle" | "roi";
/** The diameter of a lesion that a kept length sets by hand. */
export type MeasurementSets = "longest diameter" | "short axis";

/** What was kept with a timepoint. */
export interface KeptMeasurement {
  measurement_id: string;
  kind: MeasurementKind;
  plane: PlaneName;
  /** RAS+ mm: two ends; an end, the vertex, the other end; centre and the ends of two radii */
  points_mm: Triple[];
  /** mm, degrees, or a region's mean; null where no voxel has a value */
  value: number | null;
  unit: string;
  statistics: RegionValues | null;
  lesion_id: string | null;
  sets: MeasurementSets | null;
  person: string;
  created_at: string;
  words: string;
}

export interface Version {
  mask_id: string;
  version: number;
  status: string;
}

export interface PaneData {
  title: string;
  timepoint: string;
  simulated: string | null;
  scans: Scan[];
  /** sha256 of the scan on whose grid masks lie */
  reference: string;
  /** sha256 of the scan that is seen first */
  shown: string;
  mask: Version | null;
  against: Version | null;
  lesions: Lesion[];
  /** by lesion number; [] where nothing is drawn */
  offered: Offered[];
  /** the label of a lesion that the patient has not had; null where all are in use, or nothing is drawn */
  next_label: number | null;
  /** kept on its scans, oldest first */
  measurements: KeptMeasurement[];
}

export interface Registration {
  /** mm of pane 0 -> mm of pane 1 */
  matrix: Affine;
  converged: boolean;
  message: string;
}

/** A place that was marked in one of two scans. */
export interface Mark {
  /** 0: pane 0's scan, 1: pane 1's */
  side: number;
  /** in the frame of that scan */
  mm: Triple;
}

/** What a person has done so far to correct a registration. */
export interface Correction {
  /** the tools are there */
  correct: boolean;
  /** where the picture of pane 1's scan was carried: mm of pane 0 -> mm of pane 0 */
  carried: Affine;
  marks: Mark[];
  /** how many moves the page has heard of when it said so */
  heard: number;
  /** number of the correction: another one begins anew */
  turn: number;
}

export interface KnownDraft {
  draft_id: string;
  revision: number;
}

export type Preset = [name: string, centre: number, width: number];

export interface ViewerData {
  assets: string;
  api: string;
  token: string;
  mode: "review" | "timepoints" | "versions" | "registration";
  patient: string;
  person: string;
  edit: boolean;
  /** measurements may be kept */
  keep: boolean;
  presets: Record<string, Preset[]>;
  panes: PaneData[];
  link: Registration | null;
  registration: Correction | null;
  prompts: StoredPrompt[];
  draft: KnownDraft | null;
  colours: string[];
  above_px: number;
}

/** Tells the page something: Streamlit's setTriggerValue. */
export type Emit = (
  name: "saved" | "decide" | "drafted" | "moved" | "marked" | "measured",
  value: object,
) => void;

/** What Streamlit calls a component with. */
export interface Component {
  data: ViewerData;
  parentElement: HTMLElement;
  setTriggerValue: Emit;
}

/** Where requests go and with what token; the token is replaced at every rerun of the page. */
export interface Access {
  api: string;
  token: string;
}

// ---- prompts and answers -------------------------------------------------------------------------------------------

/** A prompt as a draft, a version and the routes have it. */
export interface StoredPrompt {
  type: "box" | "point";
  /** a scan_id; in old versions a channel */
  scan: string;
  axis?: Axis;
  slice: number;
  /** box: x0, y0, x1, y1, inclusive; point: x, y; voxel indices of the scan's slice */
  coords: number[];
  positive?: boolean;
  lesion?: number;
  kept?: boolean;
}

/** A prompt that is shown. */
export interface Prompt extends Required<StoredPrompt> {
  id: number;
  /** it came with the version and was not used again: no part of the draft */
  fromVersion: boolean;
}

/** A scan's slice: where a prompt is drawn. */
export interface ScanSlice {
  scan: Scan;
  axis: Axis;
  slice: number;
}

/** Bits of a slice as they travel, base64: README.md, "Masks of `prompt` and `propagate`". */
export interface PackedBits {
  origin: Pair;
  shape: Pair;
  mask: string;
}

export interface SliceBits {
  origin: Pair;
  shape: Pair;
  bits: Uint8Array;
}

export interface Seconds {
  wait: number;
  load: number;
  embed: number;
  decode: number;
  all: number;
}

/** What `prompt` answers. */
export interface PromptReply extends PackedBits {
  answer_id: string;
  predicted_iou: number;
  seconds: Seconds;
}

export interface Stop {
  direction: number;
  slice: number;
  rule: string;
}

/** A line of what `propagate` answers: a slice, the stops at its end, or an error. */
export interface PropagateLine extends PackedBits {
  slice: number;
  answer_id: string;
  predicted_iou: number;
  stops?: Stop[];
  error?: string;
}

/** An answer of the model that is not kept yet. */
export interface Answer {
  key: string;
  id: string;
  scan: string;
  axis: Axis;
  slice: number;
  lesion: number;
  bits: SliceBits;
  iou: number;
  /** number of the question, so that a late answer does not replace a newer one */
  asked: number | undefined;
  /** of the reference grid */
  voxels: number[];
}

/** An answer that the draft has: by `id` the server knows what it answered. */
export interface TakenAnswer {
  key: string;
  id: string;
}

/** The answers that a label map has without and with a change. */
export interface TakenChange {
  before: TakenAnswer[];
  after: TakenAnswer[];
}

// ---- drafts --------------------------------------------------------------------------------------------------------

export interface DraftPlace {
  patient_id: string;
  timepoint: string;
  parent_version: number | null;
}

/** What POST `draft` answers. */
export interface OpenedDraft extends KnownDraft {
  parent_version: number | null;
  prompts: StoredPrompt[];
  answers: string[];
  left_out: number[];
  lesions: DrawnAs[];
}

/** A label that was drawn beside those of the version, and the lesion that it is; null: a new one. */
export interface DrawnAs {
  label: number;
  lesion_id: string | null;
}

export interface DraftLabels {
  array: Uint8Array;
  revision: number;
}

export type FetchedDraft = Pick<OpenedDraft, "prompts" | "answers" | "left_out" | "lesions"> & { array: Uint8Array };

/** What POST `draft/{id}/save` answers: the new version, and how it differs from its parent. */
export interface SavedVersion {
  version: number;
  mask_id: string;
  method: string;
  dice: number | null;
  voxels_added: number;
  voxels_removed: number;
  volume_delta_mm3: number;
  hausdorff95_mm: number | null;
}

/** What routes answer where something is wrong. */
export interface Refusal {
  error?: string;
  revision?: number;
  person?: string;
  saved_at?: string;
  /** what a measurement would change, until it is confirmed */
  flips?: Flip[];
}

/** A visit whose call becomes another one. */
export interface Flip {
  timepoint: string;
  before: string;
  after: string;
}

/** What a draft reads of the editor when it sends. */
export interface DraftSource {
  slice(k: number): Uint8Array;
  prompts(): StoredPrompt[];
  /** ids of the server's answers that the map has */
  answers(): string[];
  lesions(): DrawnAs[];
  /** number of slices */
  depth: number;
  /** the labels on the server are those on the screen */
  same(theirs: Uint8Array): boolean;
}

// ---- measuring -----------------------------------------------------------------------------------------------------

/** A measurement on the screen: its places in mm of the timepoint's frame. */
export interface Drawing {
  kind: MeasurementKind;
  plane: PlaneName;
  points: Triple[];
  /** sha256 of the scan that it is measured on; "" of one that was kept */
  scan: string;
  timepoint: string;
  kept: KeptMeasurement | null;
}

/** The values within an ellipse. */
export interface RegionValues {
  mean: number | null;
  sd: number | null;
  least: number | null;
  greatest: number | null;
  voxels: number;
  area_mm2: number;
}

/** What `mask/{mask_id}/diameters` answers of a label: of its longest piece, edge to edge. */
export interface LabelAxes {
  label: number;
  longest_mm: number;
  long_axis_mm: Triple[];
  perpendicular_mm: number;
  perpendicular_axis_mm: Triple[];
  pieces: number;
}

// ---- pictures ------------------------------------------------------------------------------------------------------

export type PlaneName = "axial" | "coronal" | "sagittal";
export type PictureName = PlaneName | "mip";
export type Layout = "one" | "two" | "planes";

/** What is drawn on a pane, whatever it is. */
export interface Picture {
  name: PictureName;
  /** pixels across and down */
  nu: number;
  nv: number;
  /** mm of a pixel across and down */
  pixel: Pair;
  /** left, right, top, bottom */
  letters: string[];
  slices: number;
}

/** A family of parallel planes of a grid; `geometry.planeOf` makes it. */
export interface Plane extends Picture {
  name: PlaneName;
  across: Axis;
  down: Axis;
  axis: Axis;
  /** step in voxel indices of a pixel across, and down */
  u: Triple;
  v: Triple;
  /** +1 where a larger slice number lies towards the head, front or right */
  upward: number;
  /** index of the first pixel's centre */
  at(slice: number): Triple;
  toIndex(slice: number, x: number, y: number): Triple;
  toPixel(index: Triple): Pair;
}

/** A plane in another volume's voxel indices: index = o + x U + y V. */
export interface Mapping {
  o: Triple;
  U: Triple;
  V: Triple;
}

/** Where a picture lies on its canvas, in device pixels: place.x + pixel * place.sx; `scale` device pixels are a mm. */
export interface Place {
  x: number;
  y: number;
  sx: number;
  sy: number;
  scale: number;
}

/** The part of a picture that is seen: `x`, `y` mm off its middle. */
export interface View {
  zoom: number;
  x: number;
  y: number;
}

/** A grid whose planes are drawn, and the timepoint that it is of. */
export type Master = Scan & { series: Series };

/** A master grid, and its indices -> mm of the timepoint that is drawn. */
export interface Frame {
  master: Master;
  toMm: Affine;
}

/** A label map that a pane can draw. */
export interface LabelMap {
  id: number | string;
  revision: number;
  array: Uint8Array | null;
  shape: Triple;
  inverse: Affine;
}

/** Labels of a plane and their borders, in picture pixels. */
export interface Contours {
  pixels: Uint8Array;
  box: Box;
  paths: Map<number, Path2D>;
}

export interface ViewOptions {
  mask: boolean;
  style: "outline" | "fill";
  maskOpacity: number;
  overlayOpacity: number;
  cross: boolean;
  changes: boolean;
}

// ---- tools ---------------------------------------------------------------------------------------------------------

/** A pointer's place. On a projection there are no indices. */
export interface PointerPlace {
  /** device pixels of the canvas */
  screen: Pair;
  /** of the picture */
  pixel: Pair;
  /** i, j, k of the reference scan's grid of the pane's frame, fractional, and rounded */
  index?: Triple;
  voxel?: Triple;
  mm?: Triple;
}

export interface Tool {
  name: string;
  kind: "Look" | "Measure" | "Prompt" | "Draw" | "Correct";
  label: string;
  title: string;
  key: string;
  /** of CSS */
  cursor: string;
  /** without it the pane's own handling goes on */
  down?(at: PointerPlace, pane: Pane, event: PointerEvent): void;
  move?(at: PointerPlace, pane: Pane, event: PointerEvent): void;
  up?(at: PointerPlace, pane: Pane, event: PointerEvent): void;
  /** null: the pointer has left the pane */
  hover?(at: PointerPlace | null, pane: Pane): void;
  /** it is chosen */
  chosen?(): void;
  /** another tool is chosen */
  leave?(): void;
  /** after every paint of a pane */
  draw?(context: CanvasRenderingContext2D, pane: Pane, place: Place): void;
  /** the keys Enter and Backspace; true where they meant something */
  enter?(event: KeyboardEvent | PointerEvent): boolean;
  back?(): boolean;
}

/** Draws over every pane after its paint, whichever tool is chosen. */
export type Painter = (context: CanvasRenderingContext2D, pane: Pane, place: Place) => void;

export interface Key {
  /** KeyboardEvent.key, "ctrl+" before it where that is held */
  key: string;
  what: string;
  action(event: KeyboardEvent): void;
}

/** What modules tell each other by `viewer.on` and `viewer.tell`. */
export interface ViewerEvents {
  data: ViewerData;
  lesion: number | null;
  labels: Series;
  slice: undefined;
  close: undefined;
}

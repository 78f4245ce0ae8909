// What labels are called: a label is a number within one mask, and the page says which lesion it is. Pure.

/** @import { Offered, PaneData } from "./types.d.ts" */

const LINKED = /^L\d+$/,
  UNLINKED = /^unlinked-(\d+)$/;

/**
 * What stands for a lesion on every pane. A label that is linked to none, or new, is what it is on one timepoint alone.
 * @param {PaneData} data
 * @param {string} id
 */
function keyOf({ timepoint }, id) {
  return LINKED.test(id) ? id : `${id} ${timepoint}`;
}

/**
 * The lesion that a label of a pane is, as `keyOf`.
 * @param {PaneData} data
 * @param {number} label
 */
export function lesionOf(data, label) {
  const known = [...data.lesions, ...data.offered].find((one) => one.label === label);
  return keyOf(data, known?.lesion_id ?? `new-${label}`);
}

/**
 * The label of a lesion on a pane: of its largest piece in the mask, else the one that it may be drawn by; null for
 * none.
 * @param {PaneData} data
 * @param {string | null} key
 */
export function labelOf(data, key) {
  const pieces = data.lesions.filter((one) => keyOf(data, one.lesion_id) === key),
    [largest] = pieces.sort((a, b) => b.volume_mm3 - a.volume_mm3);
  return (largest ?? data.offered.find((one) => one.lesion_id === key))?.label ?? null;
}

/**
 * A lesion in words: its id; of a label that nobody could link, that.
 * @param {string} id
 */
export function inWords(id) {
  const label = UNLINKED.exec(id)?.[1];
  return label ? `not linked (label ${label})` : id;
}

/**
 * The lesions of a mask, each once: its volume is that of all its labels.
 * @param {PaneData} data
 */
export function wholeLesions(data) {
  /** @type {Map<string, {id: string, key: string, colour: string, volume_mm3: number, rejected: boolean}>} */
  const found = new Map();
  for (const { lesion_id: id, colour, volume_mm3, rejected } of data.lesions) {
    const one = found.get(id) ?? { id, key: keyOf(data, id), colour, volume_mm3: 0, rejected };
    one.volume_mm3 += volume_mm3;
    found.set(id, one);
  }
  return [...found.values()];
}

/**
 * What the labels of a mask are called where they are chosen: pieces of one lesion are told apart.
 * @param {PaneData} data
 * @returns {[number, string][]}
 */
export function namedLabels({ lesions }) {
  /** @type {Map<string, number>} */
  const pieces = new Map();
  return lesions.map(({ label, lesion_id: id }) => {
    const piece = (pieces.get(id) ?? 0) + 1;
    pieces.set(id, piece);
    return [label, piece > 1 ? `${inWords(id)} (piece ${piece})` : inWords(id)];
  });
}

/**
 * The first label from `first` on that is not used, else the lowest of all; null where all are.
 * @param {Set<number>} used
 * @param {number | null} first null: none was free from the beginning
 */
export function freeLabel(used, first) {
  if (first === null) return null;
  for (let step = 0; step < 255; step++) {
    const label = ((first - 1 + step) % 255) + 1;
    if (!used.has(label)) return label;
  }
  return null;
}

/**
 * The lesions that may be drawn, once some labels were drawn: what a label was drawn as it stays, whatever the page
 * offers under it meanwhile.
 * @param {PaneData} data
 * @param {Map<number, string | null>} drawn label -> the lesion that it was drawn as; null: a new one
 * @returns {Offered[]}
 */
export function offeredBeside({ lesions, offered }, drawn) {
  const used = new Set([...lesions.map(({ label }) => label), ...drawn.keys()]),
    labels = new Map([...drawn].map(([label, id]) => [id, label])),
    wanted = new Set(offered.map(({ label }) => label));
  return offered.flatMap((one) => {
    const own = used.has(one.label) ? freeLabel(new Set([...used, ...wanted]), one.label) : one.label,
      label = labels.get(one.lesion_id) ?? own;
    if (label === null) return [];
    used.add(label);
    return [{ ...one, label }];
  });
}

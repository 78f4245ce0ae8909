// Where the page begins: its component calls `mount` at every rerun.
import { Viewer } from "./viewer.js";

/** @import { Component } from "../lib/types.d.ts" */

/** The component's element keeps its viewer over the reruns. @typedef {HTMLElement & {viewer?: Viewer}} Root */

/**
 * The same scans keep their state (zoom, slice, tool, loaded slabs); others get a new viewer.
 * @param {Component} component
 */
export function mount({ data, parentElement, setTriggerValue }) {
  /** @type {Root | null} */
  const root = parentElement.querySelector(".twin-viewer");
  if (!root) throw new Error("The viewer's element is not there. Reload the page.");
  const key = data.panes
    .map((pane) => [pane.timepoint, pane.reference, ...pane.scans.map((scan) => scan.sha256)].join())
    .join(";");
  if (root.viewer?.scansKey === key && !root.viewer.closed) root.viewer.take(data, setTriggerValue);
  else {
    root.viewer?.close();
    root.viewer = new Viewer(root, data, setTriggerValue, key);
  }
  return root.viewer;
}

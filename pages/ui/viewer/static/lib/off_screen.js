// A picture off the screen, by its bytes.

/**
 * The 2-D context of a canvas.
 * @template {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} Context
 * @param {Context | null} context what getContext gave
 * @returns {Context}
 */
export function drawable(context) {
  if (!context) throw new Error("The browser gave no canvas to draw on. Close other tabs and reload the page.");
  return context;
}

/** A picture of n x m pixels. Its bytes are written into `colours` (0xaabbggrr) and then `put`. */
export class OffScreen {
  /**
   * @param {number} n
   * @param {number} m
   */
  constructor(n, m) {
    this.n = n;
    this.m = m;
    this.canvas = new OffscreenCanvas(n, m);
    this.context = drawable(this.canvas.getContext("2d"));
    this.image = this.context.createImageData(n, m);
    this.colours = new Uint32Array(this.image.data.buffer);
  }

  /**
   * This picture, or a new one where the size is another.
   * @param {number} n
   * @param {number} m
   */
  sized(n, m) {
    return this.n === n && this.m === m ? this : new OffScreen(n, m);
  }

  put() {
    this.context.putImageData(this.image, 0, 0);
  }
}

// Elements of the page. Texts become text nodes, never markup.

/**
 * Properties, and attributes where a name has a hyphen or is "role".
 * @typedef {Record<string, string | number | boolean>} Properties
 */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Properties} properties
 * @param {(Node | string)[]} children
 */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") made.setAttribute(name, String(value));
  }
  made.append(...children);
  return made;
}

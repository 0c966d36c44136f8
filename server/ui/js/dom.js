// Building and patching the page. Data only ever becomes text nodes and attributes, never markup, so nothing a
// sensor, a user or a file name says can become a script.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name.startsWith("on") && typeof value === "function") node.addEventListener(name.slice(2), value);
    else set(node, name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Makes an element: `h("p", {class: "x", onclick: f}, "text", child)`. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** Sets or removes an attribute; does nothing when it is already so (a live page patches four times a second). */
export function set(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/** Sets the text of a node when it differs. */
export function say(node, text) {
  const value = text ?? "";
  if (node.textContent !== value) node.textContent = value;
}

/** Shows or hides. */
export function show(node, visible) {
  if (node.hidden === Boolean(visible)) node.hidden = !visible;
}

/**
 * Makes the children of `parent` follow `items` by key: existing nodes are kept (and with them focus, scroll and
 * open details), new ones made, others removed.
 */
export function follow(parent, items, key, make, update) {
  const present = (parent.keyedChildren ??= new Map());
  const wanted = new Set();
  let place = null;
  for (const item of items) {
    const id = key(item);
    wanted.add(id);
    let node = present.get(id);
    if (!node) {
      node = make(item);
      present.set(id, node);
    }
    update?.(node, item);
    const next = place ? place.nextElementSibling : parent.firstElementChild;
    if (node !== next) parent.insertBefore(node, next);
    place = node;
  }
  for (const [id, node] of present) {
    if (!wanted.has(id)) {
      node.remove();
      present.delete(id);
    }
  }
}

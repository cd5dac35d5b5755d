// Makes elements. Text is always set as text: nothing that came over the wire is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | null | undefined | false | Child[]} Child */

/**
 * An HTML element. `on*` are listeners, `class` and the rest attributes (true: present, false and null: absent);
 * `style` is a map of CSS properties, set one by one as the content security policy allows.
 * @param {string} name
 * @param {Record<string, any> | null} [props]
 * @param {...Child} children
 * @returns {any}
 */
export function h(name, props, ...children) {
  return fill(document.createElement(name), props ?? {}, children);
}

/**
 * The same for SVG.
 * @param {string} name
 * @param {Record<string, any> | null} [props]
 * @param {...Child} children
 * @returns {any}
 */
export function s(name, props, ...children) {
  return fill(document.createElementNS(SVG, name), props ?? {}, children);
}

/** @param {any} element @param {Record<string, any>} props @param {Child[]} children */
function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style")
      for (const [key, one] of Object.entries(value)) element.style.setProperty(key, String(one));
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

/** @param {Element} element @param {Child} child */
function append(element, child) {
  if (child === null || child === undefined || child === false) return;
  if (Array.isArray(child)) for (const one of child) append(element, one);
  else element.append(child instanceof Node ? child : String(child));
}

/**
 * Puts these in place of what is in the element.
 * @param {Element} element
 * @param {...Child} children
 */
export function put(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/**
 * Sets text only where it differs, so that screen readers and selections are left in peace.
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Keeps a list of elements in step with data: makes, updates, moves and removes by key, and touches nothing else.
 * @template T
 * @param {any} parent an element that holds nothing else
 * @param {T[]} rows
 * @param {(row: T) => string} key
 * @param {(row: T) => any} make
 * @param {(element: any, row: T) => void} update
 */
export function keep(parent, rows, key, make, update) {
  /** @type {Map<string, any>} */
  const known = (parent.__known ??= new Map());
  const wanted = new Set(rows.map(key));
  for (const [name, element] of known) {
    if (wanted.has(name)) continue;
    if (element.contains(document.activeElement)) (parent.closest("[tabindex], main") ?? parent).focus?.();
    element.remove();
    known.delete(name);
  }
  let place = parent.firstElementChild;
  for (const row of rows) {
    const name = key(row);
    let element = known.get(name);
    if (element === undefined) {
      element = make(row);
      known.set(name, element);
    }
    if (element.__row !== row) {
      update(element, row);
      element.__row = row;
    }
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
}

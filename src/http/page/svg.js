// Elements, and the geometry of the circle of identifiers.

import { place } from "./model.js";

/** Whether nothing should move. */
export const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** Sets those attributes that differ; null removes one, `text` is the content. */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") {
      if (element.textContent !== String(value)) element.textContent = value;
    } else if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  }
  return element;
}

export const make = (tag, attributes = {}, ...children) => {
  const element = set(document.createElement(tag), attributes);
  element.append(...children);
  return element;
};

export const svg = (tag, attributes = {}, ...children) => {
  const element = set(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes);
  element.append(...children);
  return element;
};

/** Makes the children of `parent` those of `items`, in order: those with a known key stay and are updated. */
export function sync(parent, items, key, create, update) {
  const known = (parent.keyed ??= new Map());
  const keys = new Set(items.map(key));
  for (const [at, element] of known) if (!keys.has(at) && known.delete(at)) element.remove();
  let next = parent.firstElementChild;
  items.forEach((item, index) => {
    const at = key(item, index);
    let element = known.get(at);
    if (!element) known.set(at, (element = create(item)));
    if (element === next) next = next.nextElementSibling;
    else parent.insertBefore(element, next);
    update(element, item, index);
  });
}

export const round = (number) => Math.round(number * 10) / 10;

/** The circle of identifiers: 0 at the top, clockwise. Its centre is the origin. */
export class Circle {
  radius = 0;

  /** A point at a place of the circle; `out` pixels outside it. */
  at(place, out = 0) {
    const angle = place * 2 * Math.PI;
    return { x: Math.sin(angle) * (this.radius + out), y: -Math.cos(angle) * (this.radius + out) };
  }

  /** A curve between two nodes that leaves the straight line by its length times `bow`, towards the centre. */
  chord(from, to, bow) {
    const [a, b] = [this.at(place(from)), this.at(place(to))];
    const inwards = 0.5 * (1 - (bow * Math.hypot(a.x - b.x, a.y - b.y)) / this.radius);
    return { from: a, bend: { x: (a.x + b.x) * inwards, y: (a.y + b.y) * inwards }, to: b };
  }

  /** The arc of the keys between two places. */
  arc(from, share) {
    const [a, half, b] = [this.at(from), this.at(from + share / 2), this.at(from + share)];
    const turn = `A${round(this.radius)} ${round(this.radius)} 0 0 1`;
    return `M${round(a.x)} ${round(a.y)}${turn} ${round(half.x)} ${round(half.y)}${turn} ${round(b.x)} ${round(b.y)}`;
  }
}

/** The middle of a curve: the point and the direction, in degrees. */
export function middle({ from, bend, to }) {
  const point = { x: (from.x + 2 * bend.x + to.x) / 4, y: (from.y + 2 * bend.y + to.y) / 4 };
  return { ...point, turn: (Math.atan2(to.y - from.y, to.x - from.x) * 180) / Math.PI };
}

export const curve = ({ from, bend, to }) =>
  `M${round(from.x)} ${round(from.y)}Q${round(bend.x)} ${round(bend.y)} ${round(to.x)} ${round(to.y)}`;

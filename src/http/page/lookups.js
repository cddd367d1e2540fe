// Draws lookups as they hop over the ring: at most a few at the same time, with elements that are used again.

import { millis, place } from "./model.js";
import { calm, curve, middle, round, set, svg } from "./svg.js";

/** More lookups than this at the same time can't be followed; the oldest goes first. */
const MAX_LOOKUPS = 20;
const HOP_MILLIS = 320;
const STAY_MILLIS = 900;
const FADE_MILLIS = 400;

export class Lookups {
  constructor(circle) {
    Object.assign(this, { circle, layer: svg("g", { class: "lookups" }), drawn: new Map(), pool: [] });
  }

  /** Puts all where they belong on a circle of another size. */
  resize() {
    for (const drawn of this.drawn.values()) this.put(drawn);
  }

  /** Draws the lookups of the step. Those of the step before go, or first come to their end if they may linger. */
  show({ lookups, animate, linger }) {
    for (const [event, drawn] of this.drawn) {
      if (!drawn.held || lookups.includes(event)) continue;
      if (linger) this.release(drawn);
      else this.remove(drawn);
    }
    for (const event of lookups.slice(-MAX_LOOKUPS)) {
      if (!this.drawn.has(event)) this.draw(event, { hold: true, animate });
    }
  }

  /** Lets a lookup hop over the ring. Without `hold` it fades afterwards. */
  draw(event, { hold = false, animate = true } = {}) {
    if (this.drawn.has(event)) this.remove(this.drawn.get(event));
    if (this.drawn.size >= MAX_LOOKUPS) this.remove(this.drawn.values().next().value);
    const drawn = this.pool.pop() ?? { group: svg("g", {}, svg("path", { class: "key" })), hops: [] };
    const began = animate && !calm.matches ? performance.now() : -Infinity;
    Object.assign(drawn, { event, held: hold, began, fades: Infinity, is_complete: false });
    set(drawn.group, {
      class: "lookup",
      "data-held": hold,
      "data-wrong": Boolean(event.wrong || event.error),
      opacity: null,
    });
    this.put(drawn);
    this.layer.append(drawn.group);
    this.drawn.set(event, drawn);
    if (!hold) this.release(drawn);
    this.move();
  }

  /** Lets a lookup come to its end, and fade. */
  release(drawn) {
    const now = performance.now();
    const arrives = Math.max(now, drawn.began + drawn.count * HOP_MILLIS);
    Object.assign(drawn, { held: false, fades: arrives + STAY_MILLIS });
    set(drawn.group, { "data-held": null });
    this.move();
  }

  /** Moves all lookups with one callback for each frame, as long as one moves. */
  move() {
    this.moving ??= requestAnimationFrame(() => {
      this.moving = null;
      const now = performance.now();
      for (const drawn of [...this.drawn.values()]) this.move_one(drawn, now);
      if ([...this.drawn.values()].some((drawn) => !drawn.is_complete || drawn.fades < Infinity)) this.move();
    });
  }

  move_one(drawn, now) {
    const faded = (now - drawn.fades) / FADE_MILLIS;
    if (faded >= 1) return this.remove(drawn);
    if (faded > 0 && !calm.matches) set(drawn.group, { opacity: round(1 - faded) });
    if (drawn.is_complete) return;
    const hops = (now - drawn.began) / HOP_MILLIS;
    this.show_hops(drawn, hops);
    drawn.is_complete = hops > drawn.count;
  }

  /** Shows the first hops, the last of them in part. Nothing moves until the first answer. */
  show_hops({ hops, count }, shown) {
    for (let index = 0; index < count; index++) {
      const part = Math.max(0, Math.min(1, index ? shown - index + 1 : 1));
      if (hops[index].part === part) continue;
      hops[index].part = part;
      set(hops[index].firstChild, { "stroke-dashoffset": 1 - part });
      set(hops[index], { "data-part": part === 0 ? "none" : part < 0.6 ? "line" : "all" });
    }
  }

  /** Puts the elements of a lookup where they belong; they are used again for later ones. */
  put(drawn) {
    const { event, group, hops } = drawn;
    const steps = hops_of(event);
    drawn.count = steps.length;
    while (hops.length < steps.length) hops.push(make_hop());
    steps.forEach((step, index) => {
      const hop = hops[index];
      const [line, head, circle, text] = hop.children;
      const path = this.circle.chord(steps[Math.max(0, index - 1)].id, step.id, 0.4);
      const { x, y, turn } = middle(path);
      set(hop, { class: step.owner ? "hop owner" : "hop", "data-hop": index });
      set(line, { d: index ? curve(path) : "" });
      set(head, { transform: index ? `translate(${round(x)} ${round(y)}) rotate(${round(turn)})` : "scale(0)" });
      set(circle, { cx: round(path.to.x), cy: round(path.to.y), r: step.owner ? 13 : 10 });
      set(text, { x: round(x), y: round(y - 12), text: index && step.millis != null ? millis(step.millis) : "" });
      if (hop.parentNode !== group) group.append(hop);
    });
    for (const unused of hops.slice(steps.length)) unused.remove();
    this.show_hops(drawn, (performance.now() - drawn.began) / HOP_MILLIS);
    const { x, y } = event.id ? this.circle.at(place(event.id), 8) : { x: 0, y: 0 };
    set(group.firstChild, { d: event.id ? "M0-7L6 0L0 7L-6 0Z" : "", transform: `translate(${round(x)} ${round(y)})` });
  }

  remove(drawn) {
    this.drawn.delete(drawn.event);
    drawn.group.remove();
    this.pool.push(drawn);
  }
}

function make_hop() {
  const line = svg("path", { class: "line", pathLength: 1 });
  const head = svg("path", { class: "head", d: "M-5-4L5 0L-5 4Z" });
  return svg("g", {}, line, head, svg("circle"), svg("text"));
}

/** The nodes of a lookup in order: those that were asked, and the owner if it was not. */
export function hops_of({ path, owner, owner_addr, owner_why }) {
  const hops = path.map((hop) => ({ ...hop, owner: hop.id === owner }));
  // In a recording the node that looks up has no reason.
  if (hops[0] && !hops[0].why) hops[0] = { ...hops[0], why: "begin" };
  if (owner && path.at(-1)?.id !== owner) hops.push({ id: owner, addr: owner_addr, why: owner_why, owner: true });
  return hops;
}

// Draws one ring as SVG. The drawing is two layers: the ring, which changes seldom, and over it the lookups and
// messages, which move; so a lookup never makes the browser paint hundreds of nodes again.

import { Lookups } from "./lookups.js";
import { ago, clockwise, finger_name, has_numbers, naming, place, short } from "./model.js";
import { Circle, calm, curve, middle, round, set, svg, sync } from "./svg.js";

const MAX_LABELS = 40;
/** Many moving dots at the same time tell nothing, and cost a layer each. */
const MAX_APPEARING = 20;
const LABEL_HEIGHT = 17;
const LABEL_GAP = 24;
const CHARACTER_WIDTH = 7.3;

const SHAPES = {
  healthy: "M-9 0a9 9 0 1 0 18 0a9 9 0 1 0-18 0M-4.5.3l3 3L4.5-3",
  degraded: "M0-9L10 8H-10ZM0-3V2.5M0 5v.6",
  broken: "M-4-9H4L9-4V4L4 9H-4L-9 4V-4ZM-3.5-3.5l7 7M3.5-3.5l-7 7",
};

/** The shape of a verdict, so that it is never told by colour alone. */
export const shape = () => svg("path", { class: "shape", d: "" });
export const set_shape = (element, health) => set(element, { d: SHAPES[health] ?? "" });

export class Drawing {
  /** `chosen(id)` is called when a node is chosen with the mouse, with null for none. */
  constructor(frame, prefix, chosen) {
    Object.assign(this, { frame, prefix, chosen, circle: new Circle(), drawn: false });
    const layer = (name) => svg("g", { class: name, "aria-hidden": "true" });
    this.scale = layer("scale");
    this.health = svg("circle", { class: "health" });
    this.layers = Object.fromEntries(
      ["arcs", "pointers", "chords", "labels", "centre"].map((name) => [name, layer(name)]),
    );
    this.nodes = svg("g", { class: "nodes", role: "presentation" });
    const { arcs, pointers, chords, labels, centre } = this.layers;
    this.base = svg("svg", { class: "base", role: "listbox", tabindex: "0" });
    this.base.append(this.scale, centre, arcs, this.health, pointers, chords, labels, this.nodes);
    this.messages = svg("g", { class: "messages" });
    this.lookups = new Lookups(this.circle);
    this.overlay = svg(
      "svg",
      { class: "overlay", "aria-hidden": "true" },
      arrowhead(prefix),
      this.messages,
      this.lookups.layer,
    );
    this.count = svg("text", { class: "count" });
    this.unit = svg("text", { class: "unit" });
    this.word = svg("text", { class: "word" });
    this.shape = shape();
    centre.append(this.count, this.unit, this.shape, this.word);
    this.base.prepend(arrowhead(`${prefix}base-`));
    frame.append(this.base, this.overlay);
    this.base.addEventListener("click", (event) => chosen(event.target.closest("[data-id]")?.dataset.id ?? null));
    new ResizeObserver(() => this.last && this.draw(...this.last)).observe(frame);
  }

  /** Draws the ring as surveyed. `look` has: selected, health, summary, at, animate. */
  draw(survey, look) {
    this.last = [survey, look];
    const all = everyone(survey);
    const label_of = labels(all, look.at, this.frame.clientWidth);
    this.measure(all, label_of);
    const { seen } = survey;
    const dot = Math.max(2, Math.min(7, (this.circle.radius * 0.8) / Math.max(1, all.length)));
    set(this.base, {
      class: all.length > 100 ? "base dense" : "base",
      "aria-label": look.summary,
      "data-health": look.health,
    });
    this.draw_centre(seen.length, look);
    this.draw_arcs(seen, look);
    this.draw_pointers(seen);
    this.draw_chords(survey.known.get(look.selected));
    this.draw_nodes(all, dot, look);
    this.draw_labels(label_of ? all : [], label_of, dot, look);
    this.drawn = true;
  }

  /** Draws what moves. `step` has: lookups, messages, animate and whether older lookups may linger. */
  draw_step(step) {
    const is_crossed = step.lookups.length || step.messages.length || this.layers.chords.childElementCount;
    set(this.layers.centre, { class: is_crossed ? "centre crossed" : "centre" });
    this.draw_messages(step.messages);
    this.lookups.show(step);
  }

  /** The circle is as large as the frame and the labels leave room for. */
  measure(all, label_of) {
    const { clientWidth: width, clientHeight: height } = this.frame;
    let radius = Math.min(width, height) / 2 - (label_of ? 34 : 18);
    for (const node of label_of ? all : []) {
      const sideways = Math.max(0.7, Math.abs(Math.sin(place(node.id) * 2 * Math.PI)));
      const room = width / 2 - label_of(node).length * CHARACTER_WIDTH - 6;
      radius = Math.min(radius, room / sideways - LABEL_GAP);
    }
    radius = Math.max(60, radius);
    this.width = width;
    this.height = height;
    if (radius === this.circle.radius && this.box === `${width} ${height}`) return;
    this.circle.radius = radius;
    this.box = `${width} ${height}`;
    for (const layer of [this.base, this.overlay]) {
      set(layer, { viewBox: `${-width / 2} ${-height / 2} ${width} ${height}` });
    }
    set(this.health, { r: radius + 8 });
    this.draw_scale();
    this.lookups.resize();
    this.draw_messages(this.shown_messages ?? []);
  }

  /** The key space itself, with the first hex digit of the identifiers, or their numbers. */
  draw_scale() {
    const numbers = (_, index) => (has_numbers() ? (index * 2 ** naming.bits) / 16 : index.toString(16));
    const digits = Array.from({ length: 16 }, numbers).map((digit) =>
      Number.isInteger(digit) || !has_numbers() ? digit : "",
    );
    const circle = svg("circle", { class: "keys", r: this.circle.radius });
    const ticks = digits.flatMap((digit, index) => {
      const [inner, outer, text] = [-13, -7, -22].map((out) => this.circle.at(index / 16, out));
      return [
        svg("line", { x1: outer.x, y1: outer.y, x2: inner.x, y2: inner.y }),
        svg("text", { x: text.x, y: text.y, text: digit }),
      ];
    });
    this.scale.replaceChildren(circle, ...ticks);
  }

  draw_centre(count, { health }) {
    set(this.count, { text: count || "", y: -8 });
    set(this.unit, { text: !count ? "" : count === 1 ? "node" : "nodes", y: 14 });
    set(this.word, { text: health ?? "", x: 12, y: 44 });
    set_shape(this.shape, health);
    set(this.shape, { transform: `translate(${-4.2 * (health ?? "").length - 3} 39) scale(.8)` });
    set(this.layers.centre, { "data-health": health });
  }

  draw_arcs(seen, { selected, animate }) {
    const owners = seen.filter((node) => node.share > 0);
    const make_arc = (node) => svg("path", { "data-id": node.id }, svg("title"));
    sync(
      this.layers.arcs,
      owners,
      (node) => node.id,
      make_arc,
      (arc, node, index) => {
        const kind = node.id === selected ? "selected" : node.predecessor_wrong ? "wrong" : index % 2 ? "odd" : "even";
        const d = this.circle.arc(place(node.from), node.share);
        if (animate && this.drawn && this.last_shares?.get(node.id) !== node.share) flash(arc);
        set(arc, { class: `arc ${kind}`, d });
        set(arc.firstChild, { text: `${short(node.id)} owns ${(node.share * 100).toFixed(1)} %` });
      },
    );
    this.last_shares = new Map(owners.map((node) => [node.id, node.share]));
  }

  /** From each node to its first successor: around a ring that is in order, these are its outline. */
  draw_pointers(seen) {
    const named = seen.filter((node) => node.to);
    sync(
      this.layers.pointers,
      named,
      (node) => node.id,
      () => svg("path"),
      (path, node) => {
        // A pointer that leaves out a node must not hide behind the pointers of the others.
        const bow = node.successor_wrong ? 0.3 : 0.05;
        const head = node.successor_wrong || seen.length <= 16 ? `url(#${this.prefix}base-arrow)` : null;
        set(path, {
          class: node.successor_wrong ? "wrong" : null,
          d: curve(this.circle.chord(node.id, node.to, bow)),
          "marker-end": head,
        });
      },
    );
  }

  /** The fingers, successors and the predecessor of the selected node. */
  draw_chords(node) {
    const chords = [];
    if (node) {
      const fingers = node.fingers ?? [];
      for (const [first, last, id] of fingers) chords.push({ kind: "finger", id, name: finger_name(first, last) });
      node.successors.forEach((id, index) => chords.push({ kind: "successor", id, name: index + 1 }));
      if (node.predecessor) chords.push({ kind: "predecessor", id: node.predecessor, name: "" });
    }
    const bows = { finger: 0.4, successor: 0.2, predecessor: 0 };
    const shown = chords.filter(({ id }) => id !== node.id);
    const make_chord = () => svg("g", {}, svg("path"), svg("text"), svg("title"));
    sync(
      this.layers.chords,
      shown,
      ({ kind, id, name }) => `${node.id} ${kind} ${id} ${name}`,
      make_chord,
      (group, { kind, id, name }) => {
        const line = this.circle.chord(node.id, id, bows[kind]);
        const [path, text, title] = group.children;
        set(group, { class: `chord ${kind}` });
        set(path, { d: curve(line) });
        const near = 0.86;
        const length = Math.hypot(line.from.x - line.to.x, line.from.y - line.to.y);
        const at = (axis) =>
          round(
            (1 - near) ** 2 * line.from[axis] + 2 * near * (1 - near) * line.bend[axis] + near ** 2 * line.to[axis],
          );
        set(text, {
          x: at("x"),
          y: at("y"),
          text: kind === "finger" && shown.length < 40 && this.width >= 520 && length > 70 ? name : "",
        });
        set(title, { text: `${kind} ${name}` });
      },
    );
  }

  draw_nodes(all, dot, { selected, at, animate }) {
    // A finger hits a large target, but never that of the node beside.
    const gap = (a, b) => Math.min(clockwise(a.id, b.id), clockwise(b.id, a.id)) * Math.PI * this.circle.radius;
    const hit = (index) =>
      Math.min(14, gap(all[index], all.at(index - 1)), gap(all[index], all[(index + 1) % all.length]));
    const newcomers = all.filter(({ id }) => !this.nodes.keyed?.has(id)).length;
    const make_node = ({ id }) => {
      const group = svg("g", { class: "node", role: "option", "data-id": id, id: `${this.prefix}${id}` });
      group.append(svg("circle", { class: "hit" }), svg("circle", { class: "dot" }), svg("title"));
      if (this.drawn && animate && newcomers <= MAX_APPEARING) appear(group.children[1]);
      return group;
    };
    sync(
      this.nodes,
      all,
      ({ id }) => id,
      make_node,
      (group, node, index) => {
        const { x, y } = this.circle.at(place(node.id));
        const [target, circle, title] = group.children;
        const is_selected = node.id === selected;
        const text = `${short(node.id)} ${node.addr}, ${state_text(node, at)}`;
        set(group, {
          transform: `translate(${round(x)} ${round(y)})`,
          "data-state": node.state,
          "aria-selected": is_selected,
          "aria-label": text,
        });
        set(target, { r: round(Math.max(hit(index), 1)) });
        const radius = node.state === "member" ? dot : Math.max(dot, 4);
        set(circle, { r: round(is_selected ? radius + 2.5 : radius) });
        set(title, { text });
      },
    );
    const is_drawn = all.some(({ id }) => id === selected);
    set(this.base, { "aria-activedescendant": is_drawn ? `${this.prefix}${selected}` : null });
  }

  /** The labels stand in two columns along the circle, moved apart where nodes are close, with a line to their node. */
  draw_labels(all, label_of, dot, { selected }) {
    const placed = all.map((node) => ({
      node,
      to: this.circle.at(place(node.id), LABEL_GAP),
      from: this.circle.at(place(node.id), dot + 6),
    }));
    const limit = this.height / 2 - 10;
    for (const right of [true, false]) {
      const column = placed.filter(({ to }) => to.x >= 0 === right).sort((a, b) => a.to.y - b.to.y);
      // Labels give way towards the middle of their column, where the circle is widest.
      spread(column.filter(({ to }) => to.y > 0).reverse(), limit, -LABEL_HEIGHT);
      spread(column, -limit, LABEL_HEIGHT);
      spread(column.reverse(), limit, -LABEL_HEIGHT);
      for (const { node, to } of column) {
        const reach = this.circle.radius + LABEL_GAP;
        const x = Math.sqrt(Math.max(reach ** 2 - to.y ** 2, 64));
        to.x = Math.min(x, this.width / 2 - label_of(node).length * CHARACTER_WIDTH) * (right ? 1 : -1);
      }
    }
    const make_label = ({ node }) => svg("g", { "data-id": node.id }, svg("path"), svg("text"));
    sync(
      this.layers.labels,
      placed,
      ({ node }) => node.id,
      make_label,
      (group, { node, from, to }) => {
        const right = to.x >= 0;
        const is_selected = node.id === selected;
        set(group, { class: is_selected ? "label selected" : "label", "data-state": node.state });
        set(group.children[0], { d: `M${round(from.x)} ${round(from.y)}L${round(to.x)} ${round(to.y)}` });
        const text = label_of(node);
        set(group.children[1], {
          x: round(to.x + (right ? 4 : -4)),
          y: round(to.y),
          "text-anchor": right ? "start" : "end",
          text,
        });
      },
    );
  }

  draw_messages(messages) {
    this.shown_messages = messages;
    const make_message = () =>
      svg("g", { class: "message" }, svg("path", { "marker-end": `url(#${this.prefix}arrow)` }), svg("text"));
    sync(
      this.messages,
      messages,
      (message) => message,
      make_message,
      (group, { from, to, text }, index) => {
        // The text of each must be read: messages between the same nodes keep a line's distance.
        const earlier = messages.slice(0, index).filter((other) => pair(other) === pair({ from, to })).length;
        const { from: a, to: b } = this.circle.chord(from, to, 0);
        const line = this.circle.chord(from, to, 0.3 + (earlier * 40) / Math.max(40, Math.hypot(a.x - b.x, a.y - b.y)));
        const { x, y } = middle(line);
        set(group.children[0], { d: curve(line) });
        set(group.children[1], { x: round(x), y: round(y), text: text ?? "" });
      },
    );
  }
}

/** Two nodes, in whichever direction. */
const pair = ({ from, to }) => (from < to ? from + to : to + from);

/** The nodes and the ghosts, clockwise. */
export const everyone = ({ seen, ghosts }) =>
  ghosts.length ? [...seen, ...ghosts].sort((a, b) => (a.id < b.id ? -1 : 1)) : seen;

const end_of = (ghost) => (ghost.why === "left" ? "left" : "dead");

export const state_text = (node, at) =>
  node.state === "ghost" ? `${end_of(node)} ${ago(at - node.since)}` : node.state;

/** Moves labels on, in this order, until each is a step beyond the one before. */
function spread(labels, from, step) {
  let nearest = from;
  for (const { to } of labels) {
    to.y = step > 0 ? Math.max(to.y, nearest) : Math.min(to.y, nearest);
    nearest = to.y + step;
  }
}

/** How to label a node, or null if there is no room for labels. */
function labels(all, at, width) {
  const is_narrow = width < 520;
  if (all.length > (is_narrow ? 12 : MAX_LABELS)) return null;
  if (is_narrow) return (node) => short(node.id).slice(0, 4);
  const hosts = new Set(all.map(({ addr }) => addr.replace(/:\d+$/, "")));
  const address = ({ addr }) => (hosts.size === 1 ? addr.replace(/^.*(?=:\d+$)/, "") : addr);
  return (node) => {
    if (node.state === "ghost") return `${short(node.id)} ${width < 720 ? end_of(node) : state_text(node, at)}`;
    if (width < 720) return short(node.id);
    if (node.state !== "member") return `${short(node.id)} ${state_text(node, at)}`;
    if (has_numbers()) return short(node.id);
    return `${short(node.id)} ${address(node)}${all.length <= 16 ? ` ${(node.share * 100).toFixed(0)} %` : ""}`;
  };
}

const arrowhead = (prefix) =>
  svg(
    "defs",
    {},
    svg(
      "marker",
      {
        id: `${prefix}arrow`,
        viewBox: "0 0 10 10",
        refX: 19,
        refY: 5,
        markerWidth: 7,
        markerHeight: 7,
        markerUnits: "userSpaceOnUse",
        orient: "auto-start-reverse",
      },
      svg("path", { d: "M0 1L10 5L0 9Z", fill: "context-stroke" }),
    ),
  );

const flash = (arc) =>
  !calm.matches && arc.animate({ strokeOpacity: [0.25, 1] }, { duration: 900, easing: "ease-out" });

const appear = (dot) =>
  !calm.matches &&
  dot.animate({ transform: ["scale(4)", "scale(1)"], opacity: [0.2, 1] }, { duration: 900, easing: "ease-out" });

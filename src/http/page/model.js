// What is known of a ring, and how events change it. No clock, no network and no drawing in here: the live feed and a
// recording produce the same events, so one model serves both, and any moment can be shown again.

/** A ghost is shown this many seconds, and longer while a member still names the dead node. */
const GHOST_SECONDS = 30;

/** A state is kept after this many events, so that going to any moment applies few of them. */
const CHECKPOINT = 200;

/** The place of an identifier on the circle, from 0 to 1. 52 bits are as many as a number holds exactly. */
export const place = (id) => parseInt(id.slice(0, 13), 16) / 2 ** 52;

/** The part of the circle from one identifier clockwise to another. An equal pair is the whole ring. */
export const clockwise = (from, to) => (from === to ? 1 : (place(to) - place(from) + 1) % 1);

/** A lesson's identifiers may be numbers of a few bits, as in the figures of the paper; otherwise they have all 160. */
export const naming = { bits: 160 };

export const has_numbers = () => naming.bits <= 16;

export const short = (id) =>
  has_numbers() ? String(parseInt(id.slice(0, 4), 16) >> (16 - naming.bits)) : id.slice(0, 6);

/** The number of a finger: of 160, those for less than the distance of two identifiers are as finger 1. */
const finger = (number) => Math.max(1, number - 160 + naming.bits);

export function finger_name(first, last) {
  const [low, high] = [finger(first), finger(last)];
  return low === high ? `${low}` : `${low}–${high}`;
}

/** Why a node was asked, with the number of its finger in these bits. */
export const reason_text = (why) => (why ?? "").replace(/^finger (\d+)$/, (_, number) => `finger ${finger(number)}`);

/** Milliseconds with as many digits as matter. */
export const millis = (time) => `${time < 0.1 ? time.toFixed(2) : time < 10 ? time.toFixed(1) : Math.round(time)} ms`;

/** How long ago, in words. */
export function ago(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

const empty_ring = () => ({
  nodes: new Map(), // by identifier: the last `node` event
  ghosts: new Map(), // by identifier: {id, addr, since, why}
  lookups: [], // of this step
  messages: [], // of this step
  words: "", // of this step, for this ring alone
  health: null, // the last `health` event
  changed: null, // the last event that is more than a part of a step
});

/** A recording may have two rings on the same time axis. */
const empty_state = (sides) => ({ at: 0, step_at: null, words: "", rings: Array.from({ length: sides }, empty_ring) });

function copy(state) {
  const rings = state.rings.map((ring) => ({
    ...ring,
    nodes: new Map(ring.nodes),
    ghosts: new Map(ring.ghosts),
    lookups: [...ring.lookups],
    messages: [...ring.messages],
  }));
  return { ...state, rings };
}

/** What each event does to its ring. Unknown events do nothing, so that older pages can show newer recordings. */
const effects = {
  node(ring, event) {
    const known = ring.nodes.get(event.id);
    ring.ghosts.delete(event.id);
    const blank = { addr: "", standing: "member", predecessor: null, successors: [], fingers: known?.fingers };
    ring.nodes.set(event.id, { ...blank, ...event });
  },
  gone(ring, event) {
    const known = ring.nodes.get(event.id) ?? ring.ghosts.get(event.id);
    const addr = known?.addr ?? event.addr ?? "";
    ring.nodes.delete(event.id);
    ring.ghosts.set(event.id, { id: event.id, addr, since: event.at, why: event.why ?? "died" });
  },
  lookup: (ring, event) => ring.lookups.push(event),
  message: (ring, event) => ring.messages.push(event),
  health: (ring, event) => (ring.health = event),
  say: (ring, event) => (ring.words = event.text),
};

function affect(ring, event) {
  effects[event.event](ring, event);
  if (["node", "gone", "health"].includes(event.event)) ring.changed = event;
}

/** What was shown for the step before alone goes. */
function begin_step(state, at) {
  Object.assign(state, { step_at: at, words: "" });
  for (const ring of state.rings) Object.assign(ring, { lookups: [], messages: [], words: "" });
}

/** All events in order, and the state after any number of them. */
export class Timeline {
  /**
   * With `horizon`, events that lie further back than this many seconds are forgotten. With `words`, a step begins where
   * something is said; without, whenever time goes on.
   */
  constructor({ sides = 1, horizon = Infinity, words = false } = {}) {
    Object.assign(this, { sides, horizon, words, events: [] });
    this.checkpoints = [{ count: 0, state: empty_state(sides) }];
    this.head = { count: 0, state: empty_state(sides) };
    this.cursor = { count: 0, state: empty_state(sides) };
  }

  /** Adds an event that is not earlier than the last one. */
  add(event) {
    this.events.push(event);
    this.advance(this.head, this.events.length);
    if (this.head.count - this.checkpoints.at(-1).count < CHECKPOINT) return;
    this.checkpoints.push({ count: this.head.count, state: copy(this.head.state) });
    this.forget(event.at - this.horizon);
  }

  /** Forgets the events that only moments before `time` need. */
  forget(time) {
    const oldest = this.checkpoints.findLastIndex(({ state }) => state.at <= time);
    if (oldest < 1) return;
    this.checkpoints.splice(0, oldest);
    const dropped = this.checkpoints[0].count;
    this.events.splice(0, dropped);
    for (const known of [...this.checkpoints, this.head]) known.count -= dropped;
    this.cursor = { count: 0, state: copy(this.checkpoints[0].state) };
  }

  get end() {
    return this.events.at(-1)?.at ?? 0;
  }

  /** The number of events up to this time. */
  count_until(time) {
    return this.events.findLastIndex((event) => event.at <= time) + 1;
  }

  /** The state after the first `count` events. It is lent: the next call may change it. */
  state_after(count) {
    if (count === this.head.count) return this.head.state;
    const nearest = this.checkpoints.findLast((checkpoint) => checkpoint.count <= count);
    if (this.cursor.count > count || this.cursor.count < nearest.count) {
      this.cursor = { count: nearest.count, state: copy(nearest.state) };
    }
    this.advance(this.cursor, count);
    return this.cursor.state;
  }

  advance(known, count) {
    for (; known.count < count; known.count += 1) {
      const event = this.events[known.count];
      if (this.begins_step(event, known.state.step_at)) begin_step(known.state, event.at);
      known.state.at = event.at;
      if (event.event === "say" && event.side === undefined) known.state.words = event.text;
      else if (Object.hasOwn(effects, event.event)) affect(known.state.rings[event.side ?? 0], event);
    }
  }

  /** What is said to both sides at the same time belongs to one step. */
  begins_step(event, step_at) {
    if (!this.words) return event.at !== step_at;
    return event.event === "say" && (event.side === undefined || event.at !== step_at);
  }

  /** Where each step begins, and the number of events up to its end. */
  steps() {
    const steps = [];
    this.events.forEach((event, index) => {
      if (!this.begins_step(event, steps.at(-1)?.at)) return;
      if (steps.length) steps.at(-1).end = index;
      steps.push({ at: event.at, end: this.events.length });
    });
    return steps;
  }
}

/** The nodes in identifier order, each with what the drawing and the table need. */
export function survey(ring, at) {
  const nodes = [...ring.nodes.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  const members = nodes.filter((node) => node.standing === "member");
  const before = new Map(members.map((node, index) => [node.id, members.at(index - 1).id]));
  const after = new Map(members.map((node, index) => [node.id, members[(index + 1) % members.length].id]));
  const seen = nodes.map((node) => {
    const alone = members.length === 1 && before.has(node.id);
    const from = node.predecessor ?? (alone ? node.id : null);
    const to = node.successors[0] ?? null;
    return {
      ...node,
      state: node.standing,
      // Keys between its predecessor (exclusive) and itself are its own, as far as it knows.
      from,
      share: from === null || !before.has(node.id) ? 0 : clockwise(from, node.id),
      to: to === node.id ? null : to,
      predecessor_wrong: before.has(node.id) && from !== null && from !== before.get(node.id),
      successor_wrong: before.has(node.id) && to !== null && to !== after.get(node.id),
    };
  });
  return { seen, ghosts: ghosts(ring, at), known: ring.nodes };
}

function ghosts(ring, at) {
  if (!ring.ghosts.size) return [];
  const named = new Set([...ring.nodes.values()].flatMap((node) => [node.predecessor, ...node.successors]));
  return [...ring.ghosts.values()]
    .filter((ghost) => at - ghost.since < GHOST_SECONDS || named.has(ghost.id))
    .map((ghost) => ({ ...ghost, state: "ghost" }));
}

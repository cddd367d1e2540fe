// The two sources of events: the HTTP API of a live node, and a recording. Both give the page the same events.

import { short } from "./model.js";

/** The API shares one walk among all pages for a second; a ring changes little in two. */
const WALK_SECONDS = 2;
const CHECK_SECONDS = 5;
/** After an event of the node, changes of its neighbours soon follow: one walk sees them all. */
const SETTLE_SECONDS = 0.3;
const MAX_BACK_OFF_SECONDS = 30;
/** A slow answer is a cost for the ring: at most this part of the time is spent on asking. */
const SHARE_OF_TIME = 0.25;
/** A server without a stream of events is not asked for it with each walk. */
const LISTEN_AGAIN_SECONDS = 5;
/** A node that gives no answer in this time does not answer. */
const PATIENCE_SECONDS = 30;

const name = (peer) => (peer ? `${short(peer.id)} (${peer.addr})` : "none");

/** The node's own events, as sentences. */
const sentences = {
  joined: () => "The node has joined the ring",
  left: () => "The node has left the ring",
  alone: () => "The node is alone: no other node of its ring is left",
  reunited: () => "The ring becomes one with another",
  dead: ({ node }) => `${name(node)} is dead`,
  suspected: ({ node }) => `${name(node)} is suspected: it is asked whether it lives`,
  predecessor_changed: ({ predecessor }) =>
    predecessor ? `The predecessor is ${name(predecessor)}` : "No predecessor is known",
  successors_changed: ({ successors }) =>
    successors?.length
      ? `The successors begin with ${name(successors[0])}, ${successors.length} in all`
      : "No successor is known",
  range_changed: () => "The node answers for other keys than before",
  lagged: ({ lost }) => `${lost} events were lost`,
};

/** Why a node was asked, in words. */
function reason(why) {
  if (why?.finger) return `finger ${why.finger}`;
  if (why?.successor) return `successor ${why.successor}`;
  if (why?.word) return "named by the node before";
  if (why?.itself) return "by its own word";
  return why?.begin ? "begin" : "";
}

async function get(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE_SECONDS * 1000), cache: "no-store" });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(body.error ?? `status ${answer.status}`), { answered: true });
  return body;
}

/** Calls `ask` again and again, less often when it is slow or fails, and never while the page is hidden. */
class Poll {
  constructor(seconds, ask) {
    Object.assign(this, { seconds, ask, failures: 0, running: false, again: false });
    document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(this.timer) : this.soon(0)));
  }

  /** Asks after so many seconds; if it is asking now, once more after that. */
  soon(seconds = SETTLE_SECONDS) {
    if (this.running) this.again = true;
    else this.schedule(this.failures ? Math.max(seconds, 1) : seconds);
  }

  schedule(seconds) {
    const due = performance.now() + seconds * 1000;
    if (document.hidden || (this.due > performance.now() && this.due < due)) return;
    clearTimeout(this.timer);
    this.due = due;
    this.timer = setTimeout(() => this.run(), seconds * 1000);
  }

  async run() {
    [this.running, this.again, this.due] = [true, false, 0];
    const began = performance.now();
    this.failures = (await this.ask()) ? 0 : this.failures + 1;
    this.running = false;
    const took = (performance.now() - began) / 1000;
    const usual = Math.max(this.seconds * 2 ** Math.min(this.failures, 5), took / SHARE_OF_TIME);
    this.schedule(
      this.again && !this.failures ? Math.max(SETTLE_SECONDS, took) : Math.min(usual, MAX_BACK_OFF_SECONDS),
    );
  }
}

const ids = (peers) => (peers ?? []).map((peer) => peer.id);

/** Walks the ring through the node that serves this page, and tells what has changed. */
export class LiveFeed {
  /**
   * `page` has: event(event), walked(walk), details(state), log(at, sentence), failed(since, error) and answered().
   */
  constructor(page) {
    Object.assign(this, {
      page,
      known: new Map(),
      gone: new Set(),
      failing: new Map(),
      selected: null,
      health: "",
      listen_again: 0,
    });
    this.walks = new Poll(WALK_SECONDS, () => this.attempt("walk"));
    this.checks = new Poll(CHECK_SECONDS, () => this.attempt("check"));
  }

  start() {
    this.walks.soon(0);
    this.checks.soon(0);
  }

  now() {
    return performance.now() / 1000;
  }

  /** Walks or checks; whether it succeeded. */
  async attempt(what) {
    try {
      await this[what]();
      this.failing.delete(what);
      if (!this.failing.size) this.page.answered();
      return true;
    } catch (error) {
      if (!this.failing.has(what)) this.failing.set(what, this.now());
      this.page.failed(Math.min(...this.failing.values()), error.answered ? error.message : "");
      return false;
    }
  }

  async walk() {
    const ring = await get("/api/v1/ring");
    const at = this.now();
    const seen = new Set(ids(ring.nodes));
    for (const node of ring.nodes) this.saw(node, at, ring.nodes.length === 1);
    for (const id of this.known.keys()) if (!seen.has(id)) this.lost({ id }, at);
    for (const node of ring.unreached) if (!seen.has(node.id)) this.lost(node, at);
    this.page.walked(ring, at);
    this.listen();
    // A node may die between the walk and this question: that is no failure of the node that serves the page.
    if (seen.has(this.selected)) await this.ask_details().catch((error) => error.answered || Promise.reject(error));
  }

  saw({ id, addr, predecessor, successors }, at, alone) {
    const { fingers, standing: before } = this.known.get(id)?.node ?? {};
    // A member may know no predecessor for a while: only a node that never had one is joining.
    const is_member = alone || predecessor || before === "member";
    const standing = !alone && !successors.length ? "isolated" : is_member ? "member" : "joining";
    this.tell(
      { event: "node", id, addr, standing, predecessor: predecessor?.id ?? null, successors: ids(successors), fingers },
      at,
    );
  }

  /** Tells a node's state if it is not as it was. */
  tell(node, at) {
    const text = JSON.stringify(node);
    if (this.known.get(node.id)?.text === text) return;
    this.known.set(node.id, { text, node });
    this.gone.delete(node.id);
    this.changed({ ...node, at });
  }

  lost({ id, addr }, at) {
    this.known.delete(id);
    if (this.gone.has(id)) return;
    this.gone.add(id);
    this.changed({ at, event: "gone", id, addr, why: "died" });
  }

  changed(event) {
    this.page.event(event);
    this.checks.soon();
  }

  async check() {
    const { health, findings } = await get("/api/v1/check");
    const text = JSON.stringify([health, findings]);
    if (text !== this.health) this.page.event({ at: this.now(), event: "health", health, findings });
    this.health = text;
  }

  /** From now on the state of this node is asked with each walk, and once at once. */
  async select(id) {
    this.selected = id;
    if (id && this.known.has(id)) await this.ask_details().catch(() => {});
  }

  async ask_details() {
    const state = await get(`/api/v1/state?node=${this.selected}`);
    const node = this.known.get(state.node.id)?.node;
    const fingers = state.fingers?.map(({ first, last, node }) => [first, last, node.id]);
    if (node && fingers) this.tell({ ...node, fingers }, this.now());
    this.page.details(state);
  }

  /** Looks a key up; the answer is a `lookup` event, also if it fails. */
  async lookup(key) {
    try {
      const trace = await get(`/api/v1/trace?key=${encodeURIComponent(key)}`);
      const path = trace.steps.map(({ node, why, millis, failed, plain }) => ({
        ...node,
        why: reason(why),
        millis,
        failed,
        plain,
      }));
      const { id, owner, millis } = trace;
      return {
        event: "lookup",
        key,
        id,
        path,
        owner: owner.id,
        owner_addr: owner.addr,
        owner_why: reason(trace.why),
        millis,
      };
    } catch (error) {
      return {
        event: "lookup",
        key,
        id: null,
        path: [],
        owner: null,
        error: error.answered ? error.message : "the node does not answer",
      };
    }
  }

  /** A broken stream is opened again by the next walk that succeeds, which also tells what was missed. */
  listen() {
    if (this.stream || this.now() < this.listen_again) return;
    this.stream = new EventSource("/api/v1/events");
    this.stream.onerror = () => {
      this.stream.close();
      this.stream = null;
      this.listen_again = this.now() + LISTEN_AGAIN_SECONDS;
    };
    for (const [event, sentence] of Object.entries(sentences)) {
      this.stream.addEventListener(event, ({ data }) => {
        const told = JSON.parse(data);
        this.page.log(told.at, sentence(told));
        this.walks.soon();
      });
    }
  }
}

/** Reads a recording: its header, its events, and what is wrong with its lines. */
export async function read_recording() {
  const answer = await fetch("/recording", { cache: "no-store" });
  if (!answer.ok) throw new Error(`the recording can't be read: status ${answer.status}`);
  return parse_recording(await answer.text());
}

export function parse_recording(text) {
  const [events, problems] = [[], []];
  let header = null;
  text.split("\n").forEach((line, index) => {
    if (!line.trim()) return;
    try {
      const value = JSON.parse(line);
      if (!header) header = expect_header(value);
      else events.push(expect_event(value, events.at(-1)?.at ?? 0, header.sides?.length ?? 1));
    } catch (error) {
      problems.push(`line ${index + 1}: ${error.message}`);
    }
  });
  if (!header && !problems.length) problems.push("it is empty");
  return { header: header ?? { title: "", text: "" }, events, problems };
}

function expect_header(value) {
  if (value?.recording !== 1) throw new Error('the first line must be a header with "recording": 1');
  if (value.sides && ![1, 2].includes(value.sides.length)) throw new Error("a recording has one or two sides");
  if (value.bits !== undefined && !(value.bits >= 1 && value.bits <= 160))
    throw new Error('"bits" must be from 1 to 160');
  return value;
}

const is_id = (id) => /^[0-9a-f]{40}$/.test(id);

/** What each event must have for the model and the drawing to rely on. */
const demands = {
  node: ({ id, predecessor, successors, fingers }) =>
    [id, ...(successors ?? []), ...(fingers ?? []).map((finger) => finger[2])].every(is_id) &&
    (predecessor == null || is_id(predecessor)),
  gone: (event) => is_id(event.id),
  lookup: (event) => is_id(event.id) && Array.isArray(event.path) && event.path.every((hop) => is_id(hop.id)),
  message: (event) => is_id(event.from) && is_id(event.to),
  health: (event) => ["healthy", "degraded", "broken"].includes(event.health),
  say: (event) => typeof event.text === "string",
};

function expect_event(value, earliest, sides) {
  if (!Number.isFinite(value?.at)) throw new Error('"at" must be a number of seconds');
  if (value.at < earliest) throw new Error(`"at" goes back from ${earliest} to ${value.at}`);
  if (value.side !== undefined && !(value.side in Array(sides).fill(0)))
    throw new Error(`there is no side ${value.side}`);
  if (Object.hasOwn(demands, value.event) && !demands[value.event](value)) {
    throw new Error(`a field of the event "${value.event}" is missing or is not as expected`);
  }
  return value;
}

// The page: one timeline of events, one or two drawings of it, and the controls. The live feed adds to the timeline
// while one looks; a recording fills it before.

import { Drawing, everyone } from "./draw.js";
import { LiveFeed, read_recording } from "./feed.js";
import { Table, Verdict, element, log, show_answers, show_banner, show_details } from "./panels.js";
import { Timeline, ago, naming, short, survey } from "./model.js";
import { set, sync } from "./svg.js";

/** The live view goes back this far. */
const HORIZON_SECONDS = 300;
const MAX_MARKS = 100;

class Page {
  constructor(sides, timeline) {
    this.timeline = timeline;
    this.selected = null;
    this.measured = new Map(); // by identifier: what is no part of the history, as round trips
    this.state = null; // the API's details of the selected node
    this.animate = false; // of the next drawing
    this.views = sides.map(({ name }, index) => this.view(name, index));
    document.documentElement.dataset.sides = sides.length;
  }

  view(title, index) {
    const figure = document.createElement("figure");
    const [caption, words, frame] = ["figcaption", "p", "div"].map((tag) => document.createElement(tag));
    set(caption, { text: title });
    set(words, { class: "side-words", "aria-live": "polite" });
    set(frame, { class: "frame" });
    figure.append(...(title ? [caption, words] : []), frame);
    element("rings").append(figure);
    const choose = (id) => this.select(id);
    const drawing = new Drawing(frame, `ring-${index}-`, choose);
    drawing.base.addEventListener("keydown", (event) => this.walk_with_keys(event, this.views[index]));
    return { drawing, words, title, verdict: new Verdict(index, title), table: new Table(title, choose) };
  }

  /** Draws before the next frame, however often it is called until then. */
  refresh(animate = false) {
    this.animate ||= animate;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
      this.animate = false;
    });
  }

  draw() {
    const { state, at } = this.moment();
    let count = 0;
    this.views.forEach((view, index) => {
      const ring = state.rings[index];
      this.draw_ring(view, ring, at);
      view.drawing.draw_step({
        lookups: this.pinned ? [this.pinned] : this.is_recording ? ring.lookups : [],
        messages: ring.messages,
        animate: this.animate,
        linger: Boolean(this.playing),
      });
      set(view.words, { text: ring.words });
      count += ring.nodes.size;
    });
    this.draw_details(at);
    this.draw_time(state, at);
    if (count && !(document.documentElement.dataset.drawn > 0)) performance.mark("drawn");
    document.documentElement.dataset.drawn = count;
  }

  /** Lookups come often and change no ring: what is as it was is not drawn again. */
  draw_ring(view, ring, at) {
    const basis = [ring.changed, this.selected, this.measured, ring.ghosts.size ? Math.floor(at) : 0];
    if (view.basis?.every((part, index) => part === basis[index])) return;
    const { selected, measured, animate } = this;
    const surveyed = survey(ring, at);
    const { seen, ghosts } = surveyed;
    const health = ring.health?.health;
    const summary = [
      `${view.title ? `${view.title}: ring` : "Ring"} of ${seen.length} ${seen.length === 1 ? "node" : "nodes"}`,
      ghosts.length ? `${ghosts.length} gone` : "",
      health ?? "not judged yet",
    ];
    Object.assign(view, { basis, surveyed });
    view.drawing.draw(surveyed, { selected, health, at, animate, summary: summary.filter(Boolean).join(", ") });
    view.verdict.show(ring.health);
    view.table.show(everyone(surveyed), { selected, at, measured });
  }

  /** The node with this identifier, in the first ring that has it. */
  find(id) {
    for (const { surveyed } of this.views) {
      const node = everyone(surveyed).find((node) => node.id === id);
      if (node) return node;
    }
    return null;
  }

  draw_details(at) {
    const addresses = new Map(
      this.views.flatMap(({ surveyed }) => everyone(surveyed)).map(({ id, addr }) => [id, addr]),
    );
    const address = (id) => `${short(id)} ${addresses.get(id) ?? ""}`.trim();
    const state = this.state?.node.id === this.selected ? this.state : undefined;
    show_details(this.find(this.selected), { at, measured: this.measured, state, address });
    show_answers(this.answers(), address);
  }

  select(id) {
    this.selected = id;
    this.refresh();
  }

  walk_with_keys(event, view) {
    const turn = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!turn || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const all = everyone(view.surveyed).map(({ id }) => id);
    const index = all.indexOf(this.selected);
    if (all.length) this.select(index < 0 ? all.at(turn > 0 ? 0 : -1) : all[(index + turn + all.length) % all.length]);
  }

  escape() {
    this.pinned = null;
    this.select(null);
  }

  /** Marks on the slider, each with a key, a place from 0 to 1 and a kind. So many that they would touch say nothing. */
  draw_marks(marks) {
    const create = () => document.createElement("i");
    sync(
      element("marks"),
      marks.length > MAX_MARKS ? [] : marks,
      ({ key }) => key,
      create,
      (mark, { place, kind }) => {
        mark.style.left = `${place * 100}%`;
        set(mark, { class: kind });
      },
    );
  }
}

/** Now, or as it was up to five minutes ago. */
class LivePage extends Page {
  constructor() {
    super([{ name: "" }], new Timeline({ horizon: HORIZON_SECONDS }));
    this.past = null; // the time that is shown, or null for now
    this.feed = new LiveFeed(this);
    element("time").step = 1;
    element("time").addEventListener("input", ({ target }) => this.go_back(Number(target.value)));
    element("live").addEventListener("click", () => this.go_back(0));
    element("lookup").addEventListener("submit", (event) => this.look_up(event));
    setInterval(() => this.tick(), 1000);
    this.feed.start();
    this.refresh();
  }

  moment() {
    const at = this.past ?? this.feed.now();
    // Before the first walk the ring was there, too: it is shown as that walk found it.
    const count = this.timeline.count_until(Math.max(at, this.timeline.events[0]?.at ?? 0));
    return { at, state: this.timeline.state_after(count) };
  }

  go_back(seconds) {
    this.past = seconds < 0 ? this.feed.now() + seconds : null;
    element("live").hidden = this.past === null;
    this.refresh();
  }

  tick() {
    if (document.hidden) return;
    const now = this.feed.now();
    if (this.past !== null) this.past = Math.max(this.past, now - HORIZON_SECONDS);
    if (this.past !== null || this.views[0].surveyed?.ghosts.length) this.refresh();
    else this.draw_time(null, this.past ?? now);
  }

  draw_time(_, at) {
    const now = this.feed.now();
    const span = Math.max(1, Math.min(HORIZON_SECONDS, Math.floor(now)));
    const back = this.past === null ? 0 : Math.round(now - at);
    const time = element("time");
    set(time, { min: -span, "aria-valuetext": back ? `${ago(back)} ago` : "now" });
    time.value = -back;
    set(element("clock"), { text: back ? `${ago(back)} ago` : "now" });
    const shown = this.timeline.events.filter(
      ({ event, at }) => (event === "gone" || event === "health") && at > now - span,
    );
    this.draw_marks(
      shown.map((event) => ({ key: event, place: 1 - (now - event.at) / span, kind: event.health ?? "gone" })),
    );
  }

  select(id) {
    super.select(id);
    this.feed.select(id);
  }

  async look_up(event) {
    event.preventDefault();
    const key = element("key").value;
    this.asked = key;
    const answer = await this.feed.lookup(key);
    if (this.asked !== key) return;
    this.pinned = answer;
    this.refresh(true);
  }

  answers() {
    return this.pinned ? [{ event: this.pinned }] : [];
  }

  event(event) {
    this.timeline.add(event);
    if (this.past === null) this.refresh(true);
  }

  walked({ nodes }) {
    this.measured = new Map(nodes.map((node) => [node.id, node]));
    set(element("from"), { text: `seen from ${location.host}` });
    this.refresh();
  }

  details(state) {
    this.state = state;
    this.refresh();
  }

  log(at, sentence) {
    log(at, sentence);
  }

  failed(since, error) {
    const clock = new Date(performance.timeOrigin + since * 1000).toLocaleTimeString("en-GB");
    const what = error ? `has answered with an error since ${clock}: ${error}` : `has not answered since ${clock}`;
    show_banner(`The node ${what}. The page shows what it saw last, and tries again.`);
    document.documentElement.dataset.stale = "true";
  }

  answered() {
    show_banner("");
    delete document.documentElement.dataset.stale;
  }

  keydown(event) {
    if (event.key !== "/" || event.target.matches("input[type=text]")) return;
    event.preventDefault();
    element("key").focus();
  }
}

/** A recording: it is played, or gone through step by step. */
class RecordingPage extends Page {
  constructor({ header, events, problems }) {
    naming.bits = header.bits ?? naming.bits;
    const words = events.some(({ event }) => event === "say");
    const sides = header.sides ?? [{ name: "" }];
    super(sides, new Timeline({ sides: sides.length, words }));
    this.is_recording = true;
    for (const event of events) this.timeline.add(event);
    this.steps = this.timeline.steps();
    this.speed = 1;
    this.show_header(header);
    const more = problems.length > 3 ? `; and ${problems.length - 3} more` : "";
    if (problems.length) show_banner(`The recording has mistakes. ${problems.slice(0, 3).join("; ")}${more}.`);
    this.listen();
    this.go_to_step(0);
  }

  show_header({ title, text }) {
    document.title = `chord: ${title || "a recording"}`;
    set(element("title"), { text: title || "a recording" });
    set(element("text"), { text: text ?? "" });
    for (const id of ["buttons", "speed-label"]) element(id).hidden = false;
    for (const id of ["lookup", "history"]) element(id).hidden = true;
    element("about").hidden = !text;
    element("words").hidden = !this.timeline.words;
    element("verdicts").hidden = !this.timeline.events.some(({ event }) => event === "health");
  }

  listen() {
    element("time").max = this.timeline.end;
    element("time").addEventListener("input", ({ target }) => {
      const time = Number(target.value);
      this.pause();
      this.go_to(Math.max(1, this.timeline.count_until(time)), time);
    });
    element("previous").addEventListener("click", () => this.step(-1));
    element("next").addEventListener("click", () => this.step(1));
    element("play").addEventListener("click", () => (this.playing ? this.pause() : this.play()));
    element("speed").addEventListener("change", ({ target }) => (this.speed = Number(target.value)));
  }

  moment() {
    return { at: this.time, state: this.timeline.state_after(this.count) };
  }

  /** Shows the state after so many events, at this time. */
  go_to(count, time, animate = false) {
    Object.assign(this, { count: Math.min(count, this.timeline.events.length), time });
    this.refresh(animate);
  }

  get current_step() {
    return Math.max(
      0,
      this.steps.findIndex(({ end }) => end >= this.count),
    );
  }

  /** A step is shown as it ends: with what was sent in it, and what that has changed. */
  go_to_step(index, animate = false) {
    const step = this.steps[Math.max(0, Math.min(index, this.steps.length - 1))];
    this.go_to(step?.end ?? 0, step ? this.timeline.events[step.end - 1].at : 0, animate);
  }

  step(by) {
    this.pause();
    this.go_to_step(this.current_step + by, by > 0);
  }

  play() {
    if (this.count >= this.timeline.events.length) this.go_to(this.timeline.count_until(0), 0);
    let last = performance.now();
    const frame = (now) => {
      this.time = Math.min(this.time + (Math.max(0, now - last) / 1000) * this.speed, this.timeline.end);
      last = now;
      const count = Math.max(this.count, this.timeline.count_until(this.time));
      if (count !== this.count) this.go_to(count, this.time, true);
      else this.draw_clock();
      if (this.time >= this.timeline.end) this.pause();
      else this.playing = requestAnimationFrame(frame);
    };
    this.playing = requestAnimationFrame(frame);
    set(element("play"), { text: "Pause" });
  }

  pause() {
    cancelAnimationFrame(this.playing);
    this.playing = null;
    set(element("play"), { text: "Play" });
  }

  draw_time(state) {
    set(element("words"), { text: state.words });
    element("asking").hidden = !state.rings.some((ring) => ring.lookups.length);
    const last = this.timeline.end || 1;
    this.draw_marks(
      this.steps.map(({ at, end }) => ({ key: end, place: at / last, kind: end <= this.count ? "step past" : "step" })),
    );
    this.draw_clock();
  }

  draw_clock() {
    const step = `step ${this.current_step + 1} of ${this.steps.length}`;
    const time = element("time");
    time.value = this.time;
    set(time, { "aria-valuetext": `${this.time.toFixed(1)} s, ${step}` });
    set(element("clock"), { text: `${this.time.toFixed(1)} s · ${step}` });
  }

  answers() {
    const { state } = this.moment();
    const answers = this.views.map(({ title }, index) => ({ title, event: state.rings[index].lookups.at(-1) }));
    return answers.filter(({ event }) => event);
  }

  keydown(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.matches("select")) return;
    if (!step && (event.key !== " " || event.target.matches("button"))) return;
    event.preventDefault();
    if (step) this.step(step);
    else element("play").click();
  }
}

async function begin() {
  if (document.documentElement.dataset.feed !== "recording") return new LivePage();
  try {
    return new RecordingPage(await read_recording());
  } catch (error) {
    show_banner(`The recording can't be shown: ${error.message}.`);
    return null;
  }
}

const page = await begin();
if (page) {
  document.addEventListener("keydown", (event) => (event.key === "Escape" ? page.escape() : page.keydown(event)));
  window.ring = { draw_lookup: (event) => page.views[event.side ?? 0].drawing.lookups.draw(event) };
}

// The text beside the drawing: verdict, lookup, details of a node, the table of the nodes, and the log.

import { set_shape, shape, state_text } from "./draw.js";
import { hops_of } from "./lookups.js";
import { ago, finger_name, millis, reason_text, short } from "./model.js";
import { make, set, sync } from "./svg.js";

const MAX_LOG = 50;

export const element = (id) => document.getElementById(id);

/** Tells what is wrong with the page itself; an empty text tells that nothing is. */
export function show_banner(text) {
  set(element("banner"), { text });
  element("banner").hidden = !text;
}

const percent = (share) => `${(share * 100).toFixed(share < 0.1 ? 2 : 1)} %`;
const bytes = (n) => `${n.toLocaleString("en")} bytes`;

const instance = (template) => element(template).content.firstElementChild.cloneNode(true);

/** The judgement of one ring: a word, and a sentence with advice for each finding. */
export class Verdict {
  constructor(index, title) {
    this.title = title;
    this.section = set(instance("verdict-template"), { id: index ? `verdict-${index}` : "verdict" });
    this.shape = shape();
    this.section.querySelector("svg").append(this.shape);
    element("verdicts").append(this.section);
  }

  show(judged) {
    const health = judged?.health ?? "unknown";
    const findings = judged?.findings ?? [];
    set(this.section, { "data-health": health });
    set_shape(this.shape, health);
    const word = health === "unknown" ? "not judged yet" : health;
    set(this.section.querySelector("span"), { text: this.title ? `${this.title}: ${word}` : `The ring is ${word}` });
    const reason =
      health === "healthy" && !findings.length ? "All successors, predecessors and fingers are as defined." : "";
    set(this.section.querySelector(".reason"), { text: reason });
    const create = () => make("li", {}, make("p", { class: "what" }), make("p", { class: "advice" }));
    const key = (finding) => `${finding.kind} ${finding.node?.id} ${finding.what}`;
    sync(
      this.section.querySelector("ul"),
      unique(findings, key),
      key,
      create,
      (item, { severity, what, advice, node }) => {
        set(item, { "data-severity": severity, "data-id": node?.id });
        set(item.children[0], { text: sentence(`${severity}: ${what}`) });
        set(item.children[1], { text: sentence(advice ?? "") });
      },
    );
  }
}

/** As it is printed alone: from a capital letter to a full stop. */
const sentence = (text) => text.replace(/^./, (first) => first.toUpperCase()).replace(/[^.!?]$/, "$&.");

const unique = (items, key) => [...new Map(items.map((item) => [key(item), item])).values()];

/** The nodes as a table, for those who would rather read. */
export class Table {
  constructor(title, chosen) {
    this.region = set(instance("table-template"), { "aria-label": `Table of the nodes${title ? `: ${title}` : ""}` });
    set(this.region.querySelector("caption"), { text: title || "The nodes in the order of their identifiers" });
    this.body = this.region.querySelector("tbody");
    this.body.addEventListener("click", ({ target }) => chosen(target.closest("tr").dataset.id));
    if (title) element("node-tables").append(make("h3", { text: title }));
    element("node-tables").append(this.region);
  }

  /** `measured` has the last round trips, by identifier. */
  show(nodes, { selected, at, measured }) {
    const create = ({ id }) => {
      const row = make("tr", { "data-id": id });
      row.append(make("th", { scope: "row" }, make("button", { type: "button", title: id, text: short(id) })));
      row.append(...["", "number", "number", ""].map((kind) => make("td", { class: kind || null })));
      return row;
    };
    sync(
      this.body,
      nodes,
      ({ id }) => id,
      create,
      (row, node) => {
        const { millis: trip, plain } = measured.get(node.id) ?? {};
        const is_ghost = node.state === "ghost";
        set(row, { "data-state": node.state, class: node.id === selected ? "selected" : null });
        set(row.firstChild.firstChild, { "aria-pressed": String(node.id === selected) });
        const cells = [
          node.addr,
          is_ghost ? "" : percent(node.share),
          trip === undefined || is_ghost ? "" : millis(trip),
          state_text(node, at),
        ];
        if (plain && !is_ghost) cells[3] = "plain peer";
        cells.forEach((text, index) => set(row.children[index + 1], { text }));
      },
    );
  }
}

/** The details of the selected node. `state` is the answer of the API, absent in a recording. */
export function show_details(node, { at, measured, state, address }) {
  set(element("hint"), { hidden: node ? "" : null });
  const facts = node ? facts_of(node, at, measured.get(node.id) ?? {}, state) : [];
  show_list(
    "facts",
    facts.filter(([, text]) => text !== undefined && text !== null && text !== ""),
  );
  const tables = [];
  if (node && node.state !== "ghost") {
    tables.push(["predecessor", node.predecessor ? address(node.predecessor) : "none"]);
    node.successors.forEach((id, index) => tables.push([`successor ${index + 1}`, address(id)]));
    for (const [first, last, id] of node.fingers ?? []) {
      const name = finger_name(first, last);
      tables.push([`${name.includes("–") ? "fingers" : "finger"} ${name}`, address(id)]);
    }
  }
  show_list("tables", tables);
}

function facts_of(node, at, { version, millis: trip, plain }, state) {
  const traffic = state?.traffic;
  return [
    ["Identifier", node.id],
    ["Address", node.addr],
    ["State", `${state_text(node, at)}${plain ? ", a plain peer: it tells less" : ""}`],
    ["Share of the keys", node.state === "ghost" ? null : percent(node.share)],
    ["Round trip", trip === undefined ? null : millis(trip)],
    ["Version", state?.version ?? version],
    ["Uptime", state?.uptime_seconds === undefined ? null : ago(state.uptime_seconds)],
    ["Questions", traffic && `${traffic.asked} asked, ${traffic.answered} answered`],
    ["Connections", traffic && `${traffic.open} open, ${traffic.dialed} dialed, ${traffic.dead} dead`],
    ["Written", traffic && bytes(traffic.written_bytes)],
    ["Read", traffic && bytes(traffic.read_bytes)],
  ];
}

function show_list(id, entries) {
  const create = ([term]) =>
    make("div", { class: term.split(" ")[0].replace(/s$/, "") }, make("dt", { text: term }), make("dd"));
  sync(
    element(id),
    entries,
    ([term]) => term,
    create,
    (item, [, text]) => set(item.children[1], { text }),
  );
}

/** What a lookup found, as a sentence. */
function found({ key, id, owner, wrong, error, millis: took }, hops, address) {
  const what = key ? `“${key}”` : "the key";
  if (!owner) return `The lookup of ${what} failed: ${error ?? "no owner was named"}.`;
  const way = `${hops} ${hops === 1 ? "hop" : "hops"}${took == null ? "" : `, ${millis(took)}`}`;
  return `${wrong ? "Wrong answer: " : ""}${address(owner)} owns ${what}, identifier ${short(id)}: ${way}.`;
}

/** The results of the lookups, one for each ring, and the hops of the first with the reason for each. */
export function show_answers(answers, address) {
  const event = answers[0]?.event;
  const texts = answers.map(
    ({ title, event }) => (title ? `${title}: ` : "") + found(event, hops_of(event).length - 1, address),
  );
  const answer = element("answer");
  set(answer, { "data-owner": event?.owner ?? null });
  sync(
    answer,
    answers,
    (_, index) => index,
    () => make("span"),
    (line, { event }, index) => {
      set(line, { text: texts[index], class: event.error || event.wrong ? "wrong" : null });
    },
  );
  const hops = event ? hops_of(event) : [];
  const create = () =>
    make("li", {}, make("span", { class: "peer" }), make("span", { class: "why" }), make("span", { class: "number" }));
  sync(
    element("hops"),
    hops,
    (_, index) => index,
    create,
    (item, hop) => {
      set(item, { "data-id": hop.id, class: hop.owner ? "owner" : null });
      set(item.children[0], { text: hop.addr ? `${short(hop.id)} ${hop.addr}` : address(hop.id) });
      const failed = (hop.failed ?? []).map(({ node, error }) => `; ${short(node.id)} failed: ${error}`).join("");
      set(item.children[1], {
        text: `${[reason_text(hop.why), hop.owner && "owner"].filter(Boolean).join(", ")}${failed}`,
      });
      set(item.children[2], { text: hop.millis == null ? "" : millis(hop.millis) });
    },
  );
}

/** Adds a sentence to the log, the latest first. */
export function log(seconds, sentence) {
  const time = new Date(seconds * 1000);
  const clock = time.toLocaleTimeString("en-GB");
  const list = element("log");
  list.prepend(
    make("li", {}, make("time", { datetime: time.toISOString(), text: clock }), make("span", { text: sentence })),
  );
  while (list.children.length > MAX_LOG) list.lastElementChild.remove();
  element("quiet").hidden = true;
}

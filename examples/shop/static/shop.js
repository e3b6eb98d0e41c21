// The panel of what happens beneath, and the button for parallel additions. The
// shop itself works without.
"use strict";

const $ = (id) => document.getElementById(id);

// element makes an element; children are elements or texts, never HTML.
function element(name, className, ...children) {
  const e = document.createElement(name);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

const plural = (n, one, many = one + "s") => `${n} ${n === 1 ? one : many}`;
const bytes = (n) => (n < 10000 ? String(n) : `${(n / 1000).toFixed(n < 100000 ? 1 : 0)}k`);
const micros = (n) => (n < 1000 ? `${n} µs` : `${(n / 1000).toFixed(n < 10000 ? 1 : 0)} ms`);

// ---- requests, live

const totals = { trips: 0, merges: 0, conflicts: 0, bytes: 0 };
const shown = 30;

function showEvent(e) {
  totals.trips += e.trips;
  totals.merges += e.merges;
  totals.conflicts += e.conflicts;
  totals.bytes += e.sent + e.received;
  for (const dd of document.querySelectorAll("[data-total]")) {
    const n = totals[dd.dataset.total];
    dd.textContent = dd.dataset.total === "bytes" ? bytes(n) : String(n);
  }
  const list = $("events");
  list.prepend(eventCard(e));
  while (list.children.length > shown) list.lastChild.remove();
}

function eventCard(e) {
  const card = element("li", "");
  card.append(element("div", "head",
    element("span", e.status < 400 ? "status" : "status bad", String(e.status)),
    element("b", "", `${e.method} ${e.path}`),
    element("span", "time", micros(e.time))));
  const facts = element("div", "facts",
    element("span", e.status === 503 ? "down" : "", plural(e.trips, "round trip")),
    element("span", "", `${bytes(e.received)} B in, ${bytes(e.sent)} B out`),
    element("span", "", `${micros(e.storeTime)} in the store`));
  if (e.merges) facts.append(element("span", "merge", `merged with ${plural(e.merges, "commit")}`));
  if (e.conflicts) facts.append(element("span", "again", `run ${plural(e.runs, "time")}`));
  card.append(facts);
  if (e.steps && e.steps.length) card.append(stepList(e.steps));
  return card;
}

// stepList strikes out what was taken back: the changes since the savepoint, and
// all before a run was made again.
function stepList(steps) {
  const undone = new Set();
  let since = 0;
  steps.forEach((s, i) => {
    if (s.kind === "savepoint") since = i;
    if (s.kind === "back") for (let j = since; j < i; j++) undone.add(j);
    if (s.kind === "again") for (let j = 0; j < i; j++) undone.add(j);
  });
  const list = element("ol", "steplist");
  steps.forEach((s, i) => {
    const taken = undone.has(i) && (s.kind === "change" || s.kind === "id");
    list.append(element("li", taken ? "undone" : s.kind, s.kind === "id" ? s.text.replace(/^#/, "") : s.text));
  });
  return list;
}

function listen() {
  const source = new EventSource("/beneath/live");
  let timer = 0;
  source.onopen = () => $("dot").classList.add("on");
  source.onerror = () => $("dot").classList.remove("on");
  source.onmessage = (message) => {
    showEvent(JSON.parse(message.data));
    clearTimeout(timer);
    timer = setTimeout(showSession, 120);
  };
  window.addEventListener("pagehide", () => source.close());
}

// ---- the session

let before = new Map();

async function showSession() {
  let session;
  try {
    const answer = await fetch("/beneath/session");
    if (!answer.ok) return;
    session = await answer.json();
  } catch {
    return; // the shop has gone; the next event will tell
  }
  $("dot").classList.toggle("stopped", session.stopped);
  if (session.stopped) {
    $("packages").replaceChildren(element("p", "quiet", "The store is stopped. What it holds is as it was."));
    return;
  }
  $("session-id").textContent = session.new ? "none yet" : `#${session.id}`;
  $("session-ends").textContent = session.deadline ? `until ${session.deadline}, if left alone` : "";
  const now = new Map();
  const packages = (session.packages || []).map((p) => {
    const keys = element("dl", "");
    for (const k of p.keys) {
      const name = `${p.name}/${k.key}`;
      now.set(name, k.value);
      const fresh = before.size > 0 && before.get(name) !== k.value;
      keys.append(element("dt", "", k.key), element("dd", fresh ? "fresh" : "", k.value));
    }
    return element("div", "pkg", element("b", "", p.name), keys);
  });
  if (packages.length === 0) packages.push(element("p", "quiet", "Nothing is stored yet: a visitor who only looks costs nothing."));
  $("packages").replaceChildren(...packages);
  before = now;
}

// ---- adding without leaving the page

function showCount(n) {
  const count = $("count");
  count.textContent = String(n);
  count.classList.remove("bump");
  void count.offsetWidth; // begins the animation anew
  count.classList.add("bump");
}

async function add(form) {
  const answer = await fetch(form.action, {
    method: "POST", headers: { Accept: "application/json" }, body: new URLSearchParams(new FormData(form)),
  });
  if (!answer.ok) {
    location.assign("/cart"); // which says what is the matter
    return;
  }
  showCount((await answer.json()).count);
}

for (const form of document.querySelectorAll("form[data-add]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    add(form).catch(() => form.submit());
  });
}

// ---- 20 additions at once

const additions = 20;
const products = ["mug", "teapot", "lamp", "notebook"]; // few, so that the same product meets itself, too
const kept = {
  sessiondata: { add: "/cart/add", count: async () => inSession() },
  naive: { add: "/naive/add", count: async () => (await (await fetch("/naive/cart")).json()).count },
};

async function inSession() {
  const answer = await fetch("/beneath/session");
  const session = await answer.json();
  if (!answer.ok || session.stopped) throw new Error("stopped");
  const cart = (session.packages || []).find((p) => p.name === "cart");
  return (cart ? cart.keys : []).reduce((sum, k) => sum + Number(k.value), 0);
}

async function fire() {
  const mode = document.querySelector("[name=mode]:checked").value;
  const dots = Array.from({ length: additions }, () => element("i", ""));
  $("dots").replaceChildren(...dots);
  $("fire").disabled = true;
  $("race-result").textContent = "Under way …";
  try {
    // A visitor's first request makes the session; twenty first requests would
    // make twenty.
    if (mode === "naive" || (await inSession()) === 0) await send(mode, 0);
    const had = await kept[mode].count();
    const answers = await Promise.all(dots.map(async (dot, i) => {
      const answer = await send(mode, i);
      dot.className = "sent";
      return answer.ok;
    }));
    const accepted = answers.filter(Boolean).length;
    const there = (await kept[mode].count()) - had;
    dots.forEach((dot, i) => { dot.className = i < there ? "kept" : "lost"; });
    showResult(mode, accepted, there);
    if (mode === "sessiondata") showCount(await inSession());
  } catch {
    $("race-result").textContent = "The shop could not be reached, or its store is stopped.";
  }
  $("fire").disabled = false;
}

function send(mode, i) {
  const body = new URLSearchParams({ product: products[i % products.length], think: "1" });
  return fetch(kept[mode].add, { method: "POST", headers: { Accept: "application/json" }, body });
}

function showResult(mode, accepted, there) {
  const lost = accepted - there;
  const result = $("race-result");
  result.dataset.accepted = accepted;
  result.dataset.there = there;
  result.dataset.mode = mode;
  result.replaceChildren(
    element("b", "", `${accepted} of ${additions} accepted, ${there} in the cart. `),
    lost > 0
      ? element("span", "loss", `${lost} lost: each request wrote the whole cart back as it had read it.`)
      : "None lost: different products were merged by key, the same product was counted again on fresh data.");
}

// ---- begin

$("fire").addEventListener("click", fire);
$("dots").replaceChildren(...Array.from({ length: additions }, () => element("i", "")));
$("fold").addEventListener("click", () => {
  const open = $("beneath").classList.toggle("open");
  $("fold").setAttribute("aria-expanded", String(open));
  $("fold").textContent = open ? "hide" : "show";
});
listen();
showSession();

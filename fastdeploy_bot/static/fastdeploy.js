// Keeps the page fresh: listens to the feed, asks for the page's regions again, and makes of the old ones what they are.
// All that is drawn is drawn by the server. Without this script every page is whole, and stays as it was.

const GATHER = 20; // ms that are waited after an event: what changes together is fetched together
const REST = 150; // ms between two fetches at least, and thrice what the last one took: who asks many waits for them
const LATEST = 5_000; // while something runs, or the socket is away: bars move on
const IDLE = 60_000; // ages grow
const BEHIND = 3_000; // what a hidden tab waits to show another state by its title and icon
const ASLEEP = 3_600_000; // a tab hidden for so long lets its socket go
const PATIENCE = 30_000; // between two tries to connect at most
const STEADY = 10_000; // a socket that held for so long is none that something cuts
const LATE = 8_000; // lines that came within this time may belong to a step that is told of only now
const TIDY = 1_000; // between two times that lines out of sight are seen to
const NOTICE = 300_000; // before a session ends
const USED = 900_000; // who did something within this time is still there

const html = document.documentElement;
const body = document.body.dataset;
const byId = (id) => document.getElementById(id);
const word = byId("live");
const log = byId("log");
let since = body.since;

// --- fetching the page again

// Where the browser knows Trusted Types, nothing becomes HTML but what was fetched here, from this bot.
let fetched = null;
const ours = {
  createHTML(text) {
    if (text !== fetched) throw new TypeError("not an answer of this bot");
    return text;
  },
};
const policy = window.trustedTypes?.createPolicy("fastdeploy", ours) ?? ours;

async function parse(answer) {
  if (new URL(answer.url).origin !== location.origin) throw new TypeError("an answer from elsewhere");
  const text = await answer.text();
  fetched = text;
  return new DOMParser().parseFromString(policy.createHTML(text), "text/html");
}

let timer = null;
let due = Infinity;
let rested = 0;
let fetching = false;
let again = false;
let seen = ""; // the answer that the page looks like
let logDue = false; // whether the log's parts may be told of anew
let held = false; // whether something of the answer could not be put in place yet

function wake(delay) {
  if (ended || since === undefined) return;
  if (fetching) {
    again ||= delay < LATEST;
    return;
  }
  const at = Math.max(Date.now() + delay, rested);
  if (at >= due) return;
  due = at;
  clearTimeout(timer);
  timer = setTimeout(refresh, at - Date.now());
}

async function refresh() {
  due = Infinity;
  fetching = true;
  again = false;
  const begun = Date.now();
  try {
    const headers = { Accept: "text/html", "Live-Regions": body.for, "Live-Since": since, "If-None-Match": seen };
    const answer = await fetch(location.href, { headers });
    if (answer.status === 401) return askHowLong();
    if (answer.redirected) return location.reload(); // it is for visitors no more
    if (answer.ok) {
      put(await parse(answer));
      seen = held ? "" : answer.headers.get("ETag");
    }
    if (answer.ok || answer.status === 304) compareVersions(answer.headers.get("Live-Version"));
    if (!live) say(answer.status < 500 ? "polling" : "offline");
  } catch {
    say("offline");
    link?.close();
  } finally {
    fetching = false;
    rested = Date.now() + Math.max(REST, 3 * (Date.now() - begun));
    late ||= !live;
    if (log && (logDue || !live)) setTimeout(readLog, Math.random() * 1_000); // not now: many ask for what is above
    logDue = false;
    if (again) wake(0);
    else if (!document.hidden) wake(document.querySelector(".glyph.running") || !live ? LATEST : IDLE);
  }
}

// --- putting it in place

const ASKING = "details.ask[open]";

function put(page) {
  held = false;
  const asking = document.activeElement?.closest(ASKING) ?? document.querySelector(ASKING);
  const top = asking?.getBoundingClientRect().top;
  const focus = holdFocus();
  let last = null;
  for (const fresh of page.querySelectorAll("[data-live]")) {
    const old = byId(fresh.id);
    if (!old) last?.after(document.adoptNode(fresh));
    else if (isSelected(old)) held = true;
    else morph(old, fresh);
    last = byId(fresh.id);
  }
  for (const old of document.querySelectorAll("[data-live]")) if (!page.getElementById(old.id)) drop(old);
  focus();
  // Nothing slides away under the pointer of who is asked something.
  if (asking?.isConnected) scrollBy(0, asking.getBoundingClientRect().top - top);
  // Who listens to the page is told of another state, not of each minute that goes by.
  if (page.title[0] !== document.title[0]) byId("said").textContent = page.title;
  if (page.title !== document.title) document.title = page.title;
  const icon = (of) => of.querySelector("link[rel=icon]");
  if (icon(page).href !== icon(document).href) icon(document).href = icon(page).href;
}

function isSelected(region) {
  const selection = getSelection();
  return !selection.isCollapsed && selection.containsNode(region, true);
}

// Makes of a node what the fresh one is. What is in both stays the very same element, with what is typed, chosen,
// scrolled or opened in it: what must not be taken for something else has an id.
function morph(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.matches(ASKING)) return keepAsking(old, fresh);
  for (const { name, value } of fresh.attributes) if (!stays(old, fresh, name)) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);

  const still = !old.querySelector(ASKING); // else nothing changes its place
  const ids = new Set([...fresh.children].map((each) => each.id));
  for (const child of [...old.children]) if (child.id && !ids.has(child.id)) drop(child);
  const kept = new Set();
  let at = old.firstChild;
  for (const node of [...fresh.childNodes]) {
    let same = counterpart(old, at, node);
    if (!same) {
      same = document.adoptNode(node);
      old.insertBefore(same, at);
    } else {
      while (at && at !== same && !at.id && at.nodeType !== Node.ELEMENT_NODE) at = at.nextSibling;
      if (at === same) at = at.nextSibling;
      else if (still) old.insertBefore(same, at);
      morph(same, node);
    }
    kept.add(same);
  }
  for (const child of [...old.childNodes]) if (!kept.has(child)) drop(child);
}

function counterpart(old, at, node) {
  if (node.id) return [...old.children].find((each) => each.id === node.id && each.localName === node.localName);
  return at && !at.id && at.nodeName === node.nodeName ? at : null;
}

function stays(old, fresh, name) {
  if (name === "open" || old.getAttribute(name) === fresh.getAttribute(name)) return true;
  const goesBack = old.localName === "progress" && name === "value" && fresh.value < old.value;
  return goesBack && old.dataset.of === fresh.dataset.of; // a bar never does
}

// Whoever is asked something answers that question, whatever came up since.
function keepAsking(old, fresh) {
  const asked = (of) => [of.textContent, ...[...of.querySelectorAll("[type=hidden]:not([name=nonce])")].map((one) => one.value)];
  held = true;
  if (old.dataset.old || (fresh && asked(old).join("\n") === asked(fresh).join("\n"))) return;
  const note = document.createElement("p");
  note.className = "waiting";
  note.textContent = byId("said").textContent = "Something has changed meanwhile: close this to see how things stand.";
  old.dataset.old = "yes";
  old.querySelector("form").append(note);
}

function drop(node) {
  const asking = node.nodeType === Node.ELEMENT_NODE && (node.matches(ASKING) ? node : node.querySelector(ASKING));
  if (asking) keepAsking(asking, null);
  else node.remove();
}

// Puts the focus back where it was, or to what is left of where it was.
function holdFocus() {
  const places = [];
  for (let each = document.activeElement; each; each = each.parentElement) places.push(each);
  return () => {
    if (document.activeElement === places[0] || places.length < 3) return;
    const place = places.find((each) => each.isConnected);
    (place === places[0] ? place : place.querySelector("a[href], summary, button"))?.focus({ preventScroll: true });
  };
}

addEventListener("toggle", ({ target }) => target.matches(".ask:not([open])") && wake(0), true);

// --- the log

let reading = null;
let readAgain = false;
let readLater = null;
let late = false; // whether lines that are shown may belong to another step by now
const places = []; // where the log went on, and when

async function readLog() {
  if (document.hidden || ended) return;
  if (reading) {
    readAgain = true;
    return;
  }
  clearTimeout(readLater);
  reading = appendLines().catch(() => {
    late = true;
    readLater = setTimeout(readLog, LATEST);
  });
  await reading;
  reading = null;
  if (readAgain) {
    readAgain = false;
    await readLog();
  }
}

async function appendLines() {
  const place = byId("place");
  while (places[0]?.at < Date.now() - LATE) places.shift();
  const again = late && !isSelected(log);
  const from = again && places.length ? places[0] : place;
  late &&= !again;
  const answer = await fetch(`/deployments/${body.following}/lines?place=${from.value}`);
  if (answer.status >= 500) throw new Error("later");
  if (!answer.ok) return;
  const news = await parse(answer);
  places.push({ at: Date.now(), value: place.value });
  const follow = byId("follow").checked && !isSelected(log);
  const lines = [...news.querySelectorAll(".lines > a")];
  const known = lines.filter((line) => byId(line.id));
  const partOf = (line) => line.closest(".part").id;
  const last = known.at(-1); // it may not have ended
  const first = known.find((line) => line === last || partOf(line) !== partOf(byId(line.id)));
  const open = new Map([...log.querySelectorAll("details")].map((each) => [each.id, each.open]));
  if (first) {
    keepFrom(first, news.body);
    removeFrom(byId(first.id));
  }
  for (const part of [...news.body.children]) addPart(part, follow, open);
  place.value = answer.headers.get("Log-Place");
  if (!lines.length) return;
  byId("empty")?.remove();
  if (follow) toBottom();
  else tellNew(lines.length - known.length);
}

function removeFrom(line) {
  const range = document.createRange();
  range.setStartBefore(line);
  range.setEnd(log, log.childNodes.length);
  range.deleteContents();
  for (const each of log.querySelectorAll(".lines:empty")) each.remove();
  for (const each of log.querySelectorAll(".part:not(:has(.lines))")) each.remove();
}

// Takes from what came the lines that are shown already, where they belong.
function keepFrom(line, came) {
  came.querySelector(":scope > .hint")?.remove();
  for (const block of came.querySelectorAll(".lines")) {
    if (block.contains(line)) {
      while (block.firstChild !== line) block.firstChild.remove();
      return;
    }
    block.remove();
  }
}

// A part of the log that is shown already grows by the blocks of lines that came, and is told of anew.
function addPart(part, follow, open) {
  let shown = part.id && byId(part.id);
  if (!shown) {
    log.append(part);
    if (!follow && open.has(part.id)) part.open = open.get(part.id);
    return;
  }
  const told = part.querySelector("summary");
  if (shown.localName !== part.localName) {
    const other = part.cloneNode(); // which step it belongs to was not known yet
    other.append(...(told ? [told] : []), ...shown.querySelectorAll(".lines"));
    shown.replaceWith(other);
    shown = other;
  } else if (told) shown.querySelector("summary").replaceWith(told);
  if (follow) shown.open = part.open;
  for (const block of [...part.querySelectorAll(".lines")]) {
    const same = shown.querySelector(`[data-block="${block.dataset.block}"]`);
    same?.append(...block.childNodes);
    if (same) same.className = block.className;
    else shown.append(block);
  }
}

// Browsers keep how lines were laid out, some 4 kB a line, when those are out of sight again: it is taken from them.
const far = new Set();

function noteSight({ target, skipped }) {
  if (skipped && !far.size) setTimeout(forgetLayout, TIDY);
  if (skipped) far.add(target);
  else far.delete(target);
}

function forgetLayout() {
  const blocks = [...far];
  for (const each of blocks) each.hidden = true;
  if (blocks.length) getComputedStyle(blocks[0]).display; // now, and not when they are shown again
  for (const each of blocks) each.hidden = false;
  far.clear();
}

let unseen = 0;

function tellNew(count) {
  unseen += count;
  const button = byId("new");
  button.textContent = `${unseen} new ${unseen === 1 ? "line" : "lines"} ↓`;
  button.hidden = unseen < 1;
}

function toBottom() {
  log.scrollTop = log.scrollHeight;
  unseen = 0;
  byId("new").hidden = true;
}

function watchLog() {
  const follow = byId("follow");
  const atBottom = () => log.scrollHeight - log.scrollTop - log.clientHeight < 24;
  byId("follow-label").hidden = false;
  byId("new").addEventListener("click", () => {
    follow.checked = true;
    toBottom();
  });
  follow.addEventListener("change", () => follow.checked && toBottom());
  log.addEventListener("scroll", () => {
    follow.checked = atBottom();
    if (follow.checked) tellNew(-unseen);
  });
  log.addEventListener("contentvisibilityautostatechange", noteSight);
  const failed = log.querySelector("summary > .failure")?.closest("details");
  if (location.hash) follow.checked = false;
  else if (failed) log.scrollTop += failed.getBoundingClientRect().bottom - log.getBoundingClientRect().bottom;
  else toBottom();
}

// --- the feed

let link = null; // the socket, from when it is begun
let live = false;
let newest = since;
let tries = 0;
let retry = null;
let asleep = null;

function connect() {
  clearTimeout(retry);
  if (link || ended || since === undefined) return;
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const about = body.following ? `&deployment=${body.following}` : "";
  const opened = new WebSocket(`${scheme}//${location.host}/feed?since=${since}${about}`);
  let begun = Infinity;
  link = opened;
  opened.onmessage = ({ data }) => {
    const told = JSON.parse(data);
    if (told.type === "hello") begun = Date.now();
    if (link === opened) hear(told);
  };
  opened.onclose = ({ code }) => {
    if (link !== opened) return;
    link = null;
    if (live) say("reconnecting");
    live = false;
    if (ended || (document.hidden && !asleep)) return;
    if (code === 4401 && body.left) askHowLong();
    tries = Date.now() - begun > STEADY ? 0 : tries + 1;
    retry = setTimeout(connect, code === 4401 ? IDLE : pause());
    wake(0);
  };
}

// Twice as long each time, up to a bound, and never the same for all who wait.
function pause() {
  return Math.min(PATIENCE, 500 * 2 ** Math.min(tries, 10)) * (0.5 + Math.random() / 2);
}

function hear(told) {
  if (told.type === "hello") {
    live = true;
    newest = told.id;
    say("live");
    if (log) readLog(); // what was written while nobody listened
  } else if (told.type === "log") readLog();
  else if (told.id || told.type === "reset") {
    since = told.id ?? newest;
    logDue ||= body.following == (told.step?.deployment ?? told.deployment?.id);
    late ||= logDue;
    if (!document.hidden) wake(GATHER * (0.5 + Math.random()));
    else if (told.type === "deployment") wake(BEHIND * (0.5 + Math.random()));
  }
}

function say(now) {
  if (ended) now = "signed out";
  if (word.textContent !== now) word.textContent = now;
  word.className = now === "live" ? "on" : "";
}

function appear() {
  clearTimeout(asleep);
  asleep = null;
  if (document.hidden) {
    asleep = setTimeout(() => {
      asleep = null;
      link?.close();
    }, ASLEEP);
    return;
  }
  if (body.left && Date.now() >= looked) askHowLong();
  wake(0);
  connect();
  if (log) readLog();
}

// --- the session

let ended = false;
let ends = null;
let looked = Infinity; // when to look at it next
let used = 0; // when somebody did something here

function plan(seconds) {
  clearTimeout(ends);
  const left = seconds * 1_000;
  const at = new Date(Date.now() + left);
  show(left <= 0 ? "ended" : left <= NOTICE ? "ending" : null, at);
  const was = ended;
  ended = left <= 0;
  if (ended) {
    link?.close();
    say("signed out");
  } else if (was) appear();
  const rest = left > NOTICE ? left - NOTICE : left;
  looked = ended ? 0 : Date.now() + rest;
  if (!ended) ends = setTimeout(askHowLong, rest + 500);
}

function show(id, at) {
  for (const each of ["ending", "last", "ended"]) byId(each).hidden = each !== id;
  if (id === "ended" || !id) return;
  const time = byId(id).querySelector("time");
  time.dateTime = at.toISOString();
  time.textContent = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

async function askHowLong() {
  const present = await tell("/session");
  if (!present) return;
  plan(present.left);
  if (!byId("ending").hidden && Date.now() - used < USED) stay();
}

async function stay() {
  const present = await tell("/session/renew", fields());
  if (!present) return;
  plan(present.left);
  if (!byId("ending").hidden) show("last", new Date(Date.now() + present.left * 1_000));
}

// Asks, or tells by a form; the forms here are this session's from then on, though they may be of one before. Where that
// is somebody else's, the page is drawn anew: nobody sends by it what it says that another one would.
async function tell(path, form) {
  try {
    const answer = await fetch(path, form && { method: "POST", body: form });
    const present = await answer.json();
    if (!answer.ok) throw new Error("later");
    if (present.name && present.name !== byId("menu").firstElementChild.textContent) return location.reload();
    for (const each of document.getElementsByName("form_token")) each.value = present.form_token || each.value;
    return present;
  } catch {
    clearTimeout(ends);
    ends = setTimeout(askHowLong, LATEST);
  }
}

function fields(more) {
  return new URLSearchParams({ form_token: document.getElementsByName("form_token")[0].value, ...more });
}

function use() {
  used = Date.now();
  if (byId("ending")?.hidden === false) stay();
}

// --- a newer version of this page

function compareVersions(version) {
  if (version === body.version || !byId("newer").hidden) return;
  const busy = document.querySelector(`${ASKING}, dialog[open], input:focus, textarea:focus, select:focus`);
  // Not within a minute: while an upgrade goes on, the next answer may be one of the old version again.
  if (busy || !getSelection().isCollapsed || performance.now() < 60_000) byId("newer").hidden = false;
  else location.reload();
}

// --- the theme

async function choose(event) {
  event.preventDefault();
  const { name, value } = event.submitter;
  html.dataset.theme = value;
  document.querySelector("meta[name=color-scheme]").content = value === "auto" ? "light dark" : value;
  for (const each of event.target.elements[name]) each.ariaPressed = each === event.submitter;
  byId("theme").open = false;
  byId("theme").firstElementChild.focus();
  await fetch("/theme", { method: "POST", body: new URLSearchParams(new FormData(event.target, event.submitter)) });
}

// --- the keyboard

const KEYS = {
  j: () => step(rows(), 1),
  k: () => step(rows(), -1),
  n: () => step(document.querySelectorAll(".failure.glyph, .lost.glyph, .note.bad"), 1),
  f: () => byId("follow")?.click(),
  "/": () => document.querySelector(".search input").focus(),
  "?": () => byId("keys").showModal(),
};

function rows() {
  return document.querySelectorAll("main li, main tbody tr");
}

// To the first link of the next of these, or of the one before.
function step(places, by) {
  const links = [...places].map((each) => linkOf(each.closest("main li, main tr") ?? each)).filter(Boolean);
  const now = document.activeElement;
  const order = (link) => now === document.body ? 1 : -Math.sign(now.compareDocumentPosition(link) & 2) || (now === link ? 0 : 1);
  const found = by > 0 ? links.find((each) => order(each) > 0) : links.findLast((each) => order(each) < 0);
  found?.focus();
  found?.scrollIntoView({ block: "nearest" });
}

function linkOf(place) {
  if (place.parentElement.localName === "summary") return place.parentElement;
  return place.querySelector(".name[href]") ?? place.querySelector("a[href^='/deployments/']") ?? place.querySelector("a, summary");
}

function press(event) {
  use();
  const { key, target, ctrlKey, altKey, metaKey, isComposing } = event;
  if (key === "Escape") {
    for (const each of document.querySelectorAll(".menu[open]")) each.open = false;
    if (target.matches(".search input")) target.blur(); // the next key is one of these again
  }
  // A dialog that was closed holds the focus until the page is drawn the next time.
  const gone = target.closest("dialog:not([open])");
  if (gone) target.blur();
  const typing = target.closest("input:not([type=checkbox]), textarea, select, dialog") || target.isContentEditable;
  if ((typing && !gone) || ctrlKey || altKey || metaKey || isComposing || event.defaultPrevented || !isOn()) return;
  if (!Object.hasOwn(KEYS, key)) return;
  event.preventDefault();
  KEYS[key]();
}

function isOn() {
  return localStorage.getItem("keys") !== "off";
}

// --- copying

function offerCopy(button) {
  button.hidden = !navigator.clipboard; // over plain http there is none
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(byId(button.dataset.copy).textContent);
    byId("said").textContent = button.textContent = "Copied";
  });
}

document.querySelectorAll("[data-copy]").forEach(offerCopy);

// --- the beginning

byId("keys-open").hidden = false;
byId("keys-open").addEventListener("click", KEYS["?"]);
byId("keys-on").checked = isOn();
byId("keys-on").addEventListener("change", ({ target }) => localStorage.setItem("keys", target.checked ? "on" : "off"));
byId("theme").addEventListener("submit", choose);
byId("reload").addEventListener("click", () => location.reload());
addEventListener("keydown", press);
document.addEventListener("visibilitychange", appear);
addEventListener("online", connect);
if (body.left) {
  byId("stay").addEventListener("click", stay);
  addEventListener("pointerdown", use);
  addEventListener("focus", () => ended && askHowLong()); // signed in anew in a window beside this one
  plan(Number(body.left));
}
if (log) watchLog();
connect();
if (document.hidden) appear();
wake(document.querySelector(".glyph.running") ? LATEST : IDLE);

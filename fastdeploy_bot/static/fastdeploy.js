// Keeps the page fresh: listens to the feed, fetches the same page again, and puts its live regions in place.
// All that is drawn is drawn by the server. Without this script every page is whole, and stays as it was.

const SOON = 500; // ms between two fetches at least
const LATEST = 5_000; // while something runs, or the socket is away: bars move on
const IDLE = 60_000; // ages grow
const PATIENCE = 30_000; // between two tries to connect at most

const body = document.body.dataset;
const word = document.getElementById("live");
const log = document.getElementById("log");
let since = body.since;
let newest = since;
let socket = null;
let tries = 0;
let timer = null;
let due = Infinity;
let fetching = false;

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

function wake(delay) {
  const at = Date.now() + delay;
  if (document.hidden || at >= due) return;
  due = at;
  clearTimeout(timer);
  timer = setTimeout(refresh, delay);
}

async function refresh() {
  due = Infinity;
  if (fetching) return wake(SOON);
  fetching = true;
  try {
    const url = new URL(location.href);
    url.searchParams.set("log", "no");
    const answer = await fetch(url, { headers: { Accept: "text/html" } });
    if (answer.redirected) return location.reload(); // the session has ended
    if (answer.ok) put(await parse(answer));
    if (!socket) say(answer.ok ? "polling" : "offline");
    if (log && !socket) await readLog();
  } catch {
    say("offline");
  } finally {
    fetching = false;
    wake(document.querySelector(".glyph.running") || !socket ? LATEST : IDLE);
  }
}

function put(page) {
  for (const region of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(region.id);
    if (fresh && look(fresh) !== look(region) && !isSelected(region)) replace(region, fresh);
  }
  // Who listens to the page is told of another state, not of each minute that goes by.
  if (page.title[0] !== document.title[0]) document.getElementById("said").textContent = page.title;
  document.title = page.title;
  const icon = (of) => of.querySelector("link[rel=icon]");
  if (icon(page).href !== icon(document).href) icon(document).href = icon(page).href;
}

// What a region looks like, whatever numbers its forms carry and whatever was opened or typed in it.
function look(region) {
  return region.innerHTML.replace(/(name="nonce" value=")[^"]*/g, "$1").replaceAll(' open=""', "") + region.className;
}

function isSelected(region) {
  const selection = getSelection();
  return !selection.isCollapsed && selection.containsNode(region, true);
}

function replace(old, fresh) {
  const focus = old.contains(document.activeElement) ? pathTo(document.activeElement, old) : null;
  for (const field of old.querySelectorAll("details[id], input[id], select[id]")) {
    const same = fresh.querySelector(`#${CSS.escape(field.id)}`);
    if (!same) continue;
    if (field.localName === "details") same.open = field.open;
    else same.value = field.value;
  }
  for (const bar of old.querySelectorAll("progress")) {
    const same = fresh.querySelector(`progress[data-of="${bar.dataset.of}"]`);
    if (same && same.value < bar.value) same.value = bar.value; // it never goes back
  }
  old.replaceWith(document.adoptNode(fresh));
  focus?.(fresh)?.focus({ preventScroll: true });
}

// How to find what has the focus in the region that takes this one's place: by its form or address.
function pathTo(element, region) {
  const holder = element.closest("[id]");
  if (holder && holder !== region) {
    const index = [...holder.querySelectorAll("*")].indexOf(element);
    return (fresh) => {
      const same = fresh.querySelector(`#${CSS.escape(holder.id)}`);
      return same && (index < 0 ? same : same.querySelectorAll("*")[index]);
    };
  }
  const href = element.getAttribute("href");
  return (fresh) => href && fresh.querySelector(`a[href="${CSS.escape(href)}"]`);
}

// --- the log

let reading = null;
let readAgain = false;

async function readLog() {
  if (document.hidden) return;
  if (reading) {
    readAgain = true;
    return;
  }
  reading = appendLines().catch(() => {});
  await reading;
  reading = null;
  if (readAgain) {
    readAgain = false;
    await readLog();
  }
}

async function appendLines() {
  const { after, number } = log.dataset;
  const answer = await fetch(`/deployments/${body.following}/lines?after=${after}&number=${number}`);
  if (!answer.ok) return;
  const lines = (await parse(answer)).querySelectorAll("span");
  const unended = document.getElementById(`L${number}`);
  if (!lines.length) return;
  const follow = document.getElementById("follow").checked && !isSelected(log);
  unended?.remove();
  log.append(...lines);
  log.dataset.after = answer.headers.get("Log-After");
  log.dataset.number = answer.headers.get("Log-Number");
  document.getElementById("empty")?.remove();
  if (follow) toBottom();
  else tellNew(lines.length - (unended ? 1 : 0));
}

let unseen = 0;

function tellNew(count) {
  unseen += count;
  const button = document.getElementById("new");
  button.textContent = `${unseen} new ${unseen === 1 ? "line" : "lines"} ↓`;
  button.hidden = unseen < 1;
}

function toBottom() {
  log.scrollTop = log.scrollHeight;
  unseen = 0;
  document.getElementById("new").hidden = true;
}

function watchLog() {
  const follow = document.getElementById("follow");
  const atBottom = () => log.scrollHeight - log.scrollTop - log.clientHeight < 24;
  document.getElementById("follow-label").hidden = false;
  document.getElementById("new").addEventListener("click", () => {
    follow.checked = true;
    toBottom();
  });
  follow.addEventListener("change", () => follow.checked && toBottom());
  log.addEventListener("scroll", () => {
    follow.checked = atBottom();
    if (follow.checked) tellNew(-unseen);
  });
  if (!location.hash) toBottom();
  else follow.checked = false;
}

// --- the feed

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const about = body.following ? `&deployment=${body.following}` : "";
  const opened = new WebSocket(`${scheme}//${location.host}/feed?since=${since}${about}`);
  opened.onmessage = ({ data }) => hear(opened, JSON.parse(data));
  opened.onclose = ({ code }) => {
    if (socket) say("reconnecting");
    socket = null;
    wake(SOON);
    setTimeout(connect, code === 4401 ? IDLE : pause());
  };
}

// Twice as long each time, up to a bound, and never the same for all who wait.
function pause() {
  return Math.min(PATIENCE, 500 * 2 ** Math.min(tries++, 10)) * (0.5 + Math.random() / 2);
}

function hear(from, told) {
  if (told.type === "hello") {
    socket = from;
    newest = told.id;
    tries = 0;
    say("live");
    if (log) readLog(); // what was written while nobody listened
  } else if (told.type === "log") readLog();
  else if (told.type === "expiring") renew();
  else {
    if (told.id) since = told.id;
    else if (told.type === "reset") since = newest;
    wake(SOON);
    if (log && told.type !== "delivery") readLog();
  }
}

function renew() {
  const token = document.querySelector("input[name=form_token]")?.value;
  if (token) fetch("/session/renew", { method: "POST", body: new URLSearchParams({ form_token: token }) });
}

function say(now) {
  if (word.textContent !== now) word.textContent = now;
  word.className = now === "live" ? "on" : "";
}

// --- copying

function offerCopy(button) {
  button.hidden = !navigator.clipboard; // over plain http there is none
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    document.getElementById("said").textContent = button.textContent = "Copied";
  });
}

document.querySelectorAll("[data-copy]").forEach(offerCopy);

if (log) watchLog();
if (since !== undefined) {
  document.addEventListener("visibilitychange", () => {
    wake(0);
    if (log) readLog();
  });
  connect();
  wake(document.querySelector(".glyph.running") ? LATEST : IDLE);
}

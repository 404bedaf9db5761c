// The page: listens to the server, and asks it to start. Drawing is in drawing.js.

import { draw, put, setting, spoken, tick, write } from "./drawing.js";

const TOKEN = ownToken();
const LOST = "connection lost; trying again…";
const byId = (id) => document.getElementById(id);
const text = byId("text");

let told = null; // the server's last word
let canned = [];
let replay = false;
let chosen = 0; // the number of a canned prompt; 0: one's own
let before = 0; // what was chosen before one's own text was
let previews = null; // whether the prompt on top is the next race's, not the last one's
let begun = false; // whether the choice was filled in once
let ended = false;
let again = null;
let source = null;

// The token stands behind the # of the address, which no server is sent; from there it moves out of sight.
function ownToken() {
  const given = location.hash.slice(1);
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("token");
}

// -- listening --------------------------------------------------------------------------------------------------------

function listen() {
  if (document.hidden || ended) return;
  source = new EventSource("events");
  source.addEventListener("state", (event) => take(JSON.parse(event.data)));
  source.addEventListener("bye", () => {
    ended = true;
    source.close();
    phase("off", "the program has ended");
    ready();
  });
  source.onerror = () => {
    if (ended) return;
    told = null;
    phase("off", LOST);
    ready();
    if (source.readyState === EventSource.CLOSED && again === null) again = setTimeout(askWhy, 2000);
  };
}

// A tab that nobody sees gives its place back: a browser has few connections for all its tabs.
document.addEventListener("visibilitychange", () => {
  source?.close();
  if (!document.hidden && again === null) listen();
});

// A stream that was refused says no reason to the page, so it is asked for once more by other means.
async function askWhy() {
  again = null;
  const stopping = new AbortController();
  try {
    const answer = await fetch("events", { cache: "no-store", signal: stopping.signal });
    if (!answer.ok) phase("off", (await answer.json()).error);
    stopping.abort();
  } catch {
    phase("off", LOST);
  }
  listen();
}

function take(news) {
  if (news.setting) arrange(news.setting);
  draw(news.now, news.age_ms);
  write(news.text);
  const said = spoken(news.setting ? null : told, news.now);
  if (said) byId("said").textContent = said;
  told = news.now;
  const word = told.running ? (replay ? "playing" : "racing") : (told.busy ?? (told.rule ? "finished" : "ready"));
  phase(told.running ? "on" : told.busy ? "busy" : told.rule ? "over" : "ready", word);
  if (told.running) previews = false;
  previews ??= told.heat === null;
  showPrompt();
  ready();
}

function showPrompt() {
  const next = chosen ? canned[chosen - 1].prompt : text.value;
  byId("prompt").dataset.next = String(previews && !replay);
  put("prompt", previews && !replay ? next : told?.heat?.prompt);
}

function arrange(given) {
  setting(given);
  replay = given.recording !== null;
  canned = given.canned;
  text.maxLength = given.longest_prompt;
  byId("own").hidden = byId("canned").hidden = replay;
  byId("canned").replaceChildren(...canned.map(choice));
  put("start-word", replay ? "Play" : "Start");
  legend();
  if (!begun) {
    begun = true;
    chosen = canned.findIndex((one) => one.prompt === given.first) + 1;
    if (!chosen && given.first) text.value = given.first;
  }
  choose(chosen);
}

function choice(one, place) {
  const button = document.createElement("button");
  const key = document.createElement("kbd");
  key.textContent = String(place + 1);
  const title = document.createElement("span");
  title.textContent = one.title;
  button.type = "button";
  button.title = one.prompt;
  button.append(key, " ", title);
  button.addEventListener("click", () => {
    pick(place + 1);
    if (!button.matches(":focus-visible")) button.blur(); // so that Space starts after a click
  });
  return button;
}

function phase(name, words) {
  byId("phase").dataset.phase = name;
  put("phase", words);
}

// -- asking -----------------------------------------------------------------------------------------------------------

function choose(number) {
  chosen = number;
  [...byId("canned").children].forEach((button, place) => {
    button.setAttribute("aria-pressed", String(place + 1 === number));
  });
  byId("own").dataset.chosen = String(number === 0);
}

function pick(number) {
  choose(number);
  previews = previews || !told?.running;
  showPrompt();
}

function ready() {
  const free = told !== null && told.busy === null && !told.running && !ended && TOKEN !== null;
  byId("start").disabled = !free;
  if (TOKEN === null && !ended) put("trouble", "looking on only: the address that the terminal printed starts races");
  return free;
}

async function start() {
  if (!ready()) return;
  const own = chosen === 0;
  if (!replay && own && !text.value.trim()) {
    text.focus();
    return;
  }
  const body = replay ? { play: true } : own ? { prompt: text.value } : { canned: chosen };
  put("trouble", null);
  try {
    const answer = await fetch("start", {
      method: "POST",
      headers: { "content-type": "application/json", "x-race-token": TOKEN },
      body: JSON.stringify(body),
    });
    if (!answer.ok) put("trouble", (await answer.json()).error);
  } catch {
    put("trouble", "the program does not answer");
  }
}

function legend() {
  const words = replay
    ? [["Space", "plays"]]
    : [["Space", "or"], ["Enter", "starts"], [`1`, ""], ["…", ""], [`${canned.length}`, "choose a prompt"],
       ["P", "or"], ["/", "type your own"], ["Esc", "leaves the text"]];
  byId("keys").replaceChildren(...words.flatMap(([key, word]) => {
    const made = document.createElement("kbd");
    made.textContent = key;
    return [made, ` ${word} `];
  }));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target === text) {
    if (event.key === "Escape") text.blur();
    else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      text.blur();
      if (!event.repeat) start();
    }
    return;
  }
  const number = Number(event.key);
  if (event.key === " " || event.key === "Enter") {
    if (event.target.matches("button:focus-visible")) return; // the button's own key
    event.preventDefault();
    if (!event.repeat) start();
  } else if (!replay && number >= 1 && number <= canned.length) pick(number);
  else if (!replay && (event.key === "/" || event.key.toLowerCase() === "p")) {
    event.preventDefault();
    text.focus();
  }
});

text.addEventListener("focus", () => {
  if (chosen) before = chosen;
  pick(0);
});
text.addEventListener("input", showPrompt);
text.addEventListener("blur", () => {
  if (!text.value.trim() && chosen === 0) pick(before);
});
byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  byId("start").blur();
  start();
});

function run() {
  tick();
  requestAnimationFrame(run);
}

listen();
requestAnimationFrame(run);

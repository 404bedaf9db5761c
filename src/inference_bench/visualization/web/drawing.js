// Draws what the server tells: every word and figure is the server's own, put in as text. The one thing counted here is
// the clock of a lane that runs, from the server's last word on.

const KEPT = 12000; // characters of an answer's end that stay on the page
const DASH = "–";
const byId = (id) => document.getElementById(id);

const sizes = new ResizeObserver(() => lanes.forEach(follow));
let speed = 1; // of a recording
let lanes = []; // each: its elements, its text node, what it was last told
let toldAt = 0;

export function put(id, text) {
  const element = byId(id);
  const said = text ?? "";
  if (element.textContent !== said) element.textContent = said;
  element.hidden = !said;
}

export function setting(told) {
  speed = told.recording?.speed ?? 1;
  const room = byId("lanes");
  sizes.disconnect();
  lanes = told.lanes.map(laneOf);
  room.replaceChildren(...lanes.map((lane) => lane.root));
  room.dataset.lanes = String(Math.min(4, lanes.length));
  room.style.setProperty("--lanes", String(Math.min(4, Math.max(1, lanes.length))));
  put("recording", told.recording?.word);
  put("source", told.recording?.source);
  put("instant", told.same_instant);
}

function laneOf(facts) {
  const root = byId("lane").content.firstElementChild.cloneNode(true);
  const find = (name) => root.querySelector(`.${name}`);
  const lane = { root, name: facts.name, told: {}, text: document.createTextNode("") };
  for (const part of ["place", "ttft", "rate", "count", "elapsed", "state", "time", "why", "runner", "way", "sim"]) {
    lane[part] = find(part);
  }
  root.style.setProperty("--lane", facts.colour);
  find("marker").dataset.marker = lane.runner.dataset.marker = facts.marker;
  find("name").textContent = facts.name;
  root.setAttribute("aria-label", facts.name);
  find("facts").replaceChildren(...facts.told.map(piece));
  lane.box = find("text");
  lane.box.setAttribute("aria-label", `What ${facts.name} answers`);
  lane.box.append(lane.text);
  lane.follows = true;
  lane.at = 0;
  lane.box.addEventListener("scroll", () => {
    const { scrollHeight, scrollTop, clientHeight } = lane.box;
    const atEnd = scrollHeight - scrollTop - clientHeight < 40;
    lane.follows = atEnd || (lane.follows && scrollTop >= lane.at); // a box that shrinks is nobody who scrolls up
    lane.at = scrollTop;
  });
  sizes.observe(lane.box);
  return lane;
}

function piece(words) {
  const made = document.createElement("bdi");
  made.textContent = words;
  return made;
}

// The end of an answer stays in sight, whatever moves, unless somebody has scrolled up.
function follow(lane) {
  if (lane.follows) lane.box.scrollTop = lane.box.scrollHeight;
}

// A number large, its unit small.
function figure(element, words) {
  const said = words ?? DASH;
  if (element.dataset.said === said) return;
  element.dataset.said = said;
  const [, number, unit] = /^(\S+)\s*(.*)$/s.exec(said) ?? ["", said, ""];
  const small = document.createElement("small");
  small.textContent = unit;
  element.replaceChildren(number, ...(unit ? [" ", small] : []));
}

export function draw(now, ageMs) {
  toldAt = performance.now() - ageMs / speed;
  const heat = now.heat;
  const many = heat?.of ? ` of ${heat.of}` : "";
  put("title", [heat ? `${heat.kind} ${heat.number}${many}` : "Race", heat?.title].filter(Boolean).join(" · "));
  put("simulated", now.simulated);
  put("rule", now.rule);
  put("notes", now.notes);
  put("late", now.late);
  now.lanes.forEach((told, place) => drawLane(lanes[place], told));
  tick();
}

function drawLane(lane, told) {
  lane.told = told;
  lane.root.dataset.phase = told.phase;
  lane.root.dataset.first = String(told.first);
  lane.place.textContent = told.place ?? "";
  lane.sim.hidden = !told.simulated;
  lane.time.textContent = told.time ?? "";
  const begun = told.phase !== "ready" && told.phase !== "down";
  figure(lane.rate, begun ? told.rate : null);
  figure(lane.count, begun ? told.count : null);
  const why = [told.trouble, told.thinking].filter(Boolean).join(" · ");
  lane.why.textContent = why;
  lane.why.hidden = !why;
  lane.way.style.setProperty("width", `${100 * told.share}%`);
  lane.runner.style.setProperty("left", `${100 * told.share}%`);
}

export function write(texts) {
  texts.forEach((news, place) => {
    const lane = lanes[place];
    if (!news) return;
    const [goesOn, text] = news;
    if (goesOn) lane.text.appendData(text);
    else lane.text.data = text;
    if (lane.text.length > 2 * KEPT) lane.text.deleteData(0, lane.text.length - KEPT);
    if (!goesOn) lane.follows = true;
    follow(lane);
  });
}

// The clocks that run: once a frame, of lanes that are not over.
export function tick() {
  for (const lane of lanes) {
    const told = lane.told;
    let state = told.state;
    let elapsed = told.elapsed;
    let ttft = told.ttft?.replace(/^TTFT /, "");
    let waiting = false;
    if (told.since_ms !== null && told.since_ms !== undefined) {
      const since = told.since_ms + (performance.now() - toldAt) * speed;
      const seconds = `${(Math.max(0, since) / 1000).toFixed(2)} s`;
      if (told.phase !== "down") elapsed = since < 0 ? null : seconds;
      waiting = told.phase === "waiting" && since >= 0;
      if (waiting) ttft = seconds;
      else if (told.phase === "waiting") state = "ready";
    }
    lane.root.dataset.waiting = String(waiting);
    if (lane.state.textContent !== (state ?? "")) lane.state.textContent = state ?? "";
    figure(lane.ttft, ttft);
    figure(lane.elapsed, elapsed);
  }
}

// What changed, for those who hear the page.
export function spoken(before, now) {
  const said = [];
  now.lanes.forEach((told, place) => {
    const was = before?.lanes[place];
    const name = lanes[place].name;
    if (!was || was.phase === told.phase) return;
    if (told.phase === "streaming") said.push(`${name} answers: ${told.ttft}`);
    if (told.phase === "done") said.push(`${name} is done after ${told.elapsed}`);
    if (told.phase === "failed") said.push(`${name}: ${told.trouble}`);
  });
  if (now.running && !before?.running) said.unshift("the race is on");
  if (now.rule && !before?.rule) {
    const places = now.lanes.map((told, place) => (told.place ? `${lanes[place].name} ${told.place}` : null));
    said.push(`the race is over: ${places.filter(Boolean).join(", ") || "no places"}`);
  }
  return said.join(". ");
}

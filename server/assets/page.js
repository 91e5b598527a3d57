// The behaviour of the page: photo, box, words, one question to `POST /extract`, the answer as it arrives.
// Keeps nothing, loads nothing from elsewhere, and checks only what it must: what a field has to be, the service says.
// One file in the order of the page, since it comes without a build: sections end where the page's parts do.

const $ = (id) => document.getElementById(id);
const clamp = (number, low, high) => Math.min(Math.max(number, low), high);

/** The question as it stands. The box is in whole pixels of the upright photo. */
const question = { file: null, example: null, box: null };
/** What the labels mean, once the service has told. */
let ontology = { types: [], labels: [] };
/** The controller of the request under way. */
let asking = null;

// ── Photo ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const photo = $("photo");
let loads = 0;

/** Shows a file as the photo. The latest call wins; the result tells whether this one did. */
async function show(file, example = null) {
  const load = ++loads;
  const address = URL.createObjectURL(file);
  const probe = new Image();
  probe.src = address;
  const seen = await probe.decode().then(() => true, () => false);
  if (load !== loads || !seen) {
    URL.revokeObjectURL(address);
    if (load === loads) fault({ field: "image", title: "Not shown", detail: "this browser cannot show the file as an image" });
    return false;
  }
  URL.revokeObjectURL(photo.src);
  photo.src = address;
  await photo.decode();
  Object.assign(question, { file, example });
  // The browser turns photos upright as their EXIF data says, and these are the sizes after that.
  const { naturalWidth: width, naturalHeight: height } = photo;
  $("stage").style.setProperty("--width", width);
  $("stage").style.setProperty("--height", height);
  $("photo-facts").textContent = `${width} × ${height} pixels`;
  $("drop").hidden = true;
  $("stage").hidden = $("another").hidden = false;
  for (const input of edges) {
    input.disabled = false;
    input.max = input.id[0] === "x" ? width : height;
  }
  $("place").disabled = false;
  mark("image");
  setBox(null);
  return true;
}

function take(files) {
  const images = [...files].filter((file) => file.type.startsWith("image/"));
  const file = images[0] ?? files[0];
  if (file) show(file).then((shown) => shown && pressExample(null));
}

$("file").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = ""; // so that the same file can be chosen again
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length === 0) return;
  event.preventDefault();
  take(event.clipboardData.files);
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    const leaves = kind === "drop" || (kind === "dragleave" && event.relatedTarget === null);
    $("desk").classList.toggle("over", !leaves);
    if (kind === "drop") take(event.dataTransfer.files);
  });
}

// ── Box ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const stage = $("stage");
const handle = $("box");
const edges = ["x0", "y0", "x1", "y1"].map($);

/** Sets the box, or removes it, and tells everyone. `typed`: the inputs hold it already. */
function setBox(box, { typed = false } = {}) {
  question.box = box && Object.fromEntries(Object.entries(box).map(([edge, value]) => [edge, Math.round(value)]));
  const { naturalWidth: width, naturalHeight: height } = photo;
  handle.hidden = !question.box;
  $("draw").hidden = Boolean(question.box) || typed;
  $("place").textContent = question.box ? "Remove box" : "Place a box";
  if (!typed) for (const input of edges) input.value = question.box?.[input.id] ?? "";
  if (question.box) {
    const { x0, y0, x1, y1 } = question.box;
    handle.style.left = `${(100 * x0) / width}%`;
    handle.style.top = `${(100 * y0) / height}%`;
    handle.style.width = `${(100 * (x1 - x0)) / width}%`;
    handle.style.height = `${(100 * (y1 - y0)) / height}%`;
  }
  mark("bbox");
  changed();
}

/** The box with its edges moved, kept inside the photo and at least one pixel large. */
function pulled(box, { x = 0, y = 0 }, dx, dy) {
  const { naturalWidth: width, naturalHeight: height } = photo;
  if (x === 0 && y === 0) {
    const right = clamp(dx, -box.x0, width - box.x1);
    const down = clamp(dy, -box.y0, height - box.y1);
    return { x0: box.x0 + right, y0: box.y0 + down, x1: box.x1 + right, y1: box.y1 + down };
  }
  return {
    x0: x < 0 ? clamp(box.x0 + dx, 0, box.x1 - 1) : box.x0,
    y0: y < 0 ? clamp(box.y0 + dy, 0, box.y1 - 1) : box.y0,
    x1: x > 0 ? clamp(box.x1 + dx, box.x0 + 1, width) : box.x1,
    y1: y > 0 ? clamp(box.y1 + dy, box.y0 + 1, height) : box.y1,
  };
}

/** A pointer's place in pixels of the photo. */
function place(event) {
  const { left, top, width, height } = stage.getBoundingClientRect();
  return {
    x: clamp(((event.clientX - left) / width) * photo.naturalWidth, 0, photo.naturalWidth),
    y: clamp(((event.clientY - top) / height) * photo.naturalHeight, 0, photo.naturalHeight),
  };
}

/** What a pointer takes hold of: edges (-1 or 1 on an axis), the whole box (0, 0), or nothing. */
function grip(event) {
  if (!question.box) return null;
  const reach = event.pointerType === "mouse" ? 8 : 18;
  const { left, top, right, bottom } = handle.getBoundingClientRect();
  const side = (at, low, high) => {
    if (at < low - reach || at > high + reach) return null;
    const inner = Math.min(reach, (high - low) / 4);
    return at < low + inner ? -1 : at > high - inner ? 1 : 0;
  };
  const x = side(event.clientX, left, right);
  const y = side(event.clientY, top, bottom);
  return x === null || y === null ? null : { x, y };
}

function cursor(held) {
  if (!held) return "crosshair";
  if (held.x === 0 && held.y === 0) return "move";
  if (held.x === 0) return "ns-resize";
  if (held.y === 0) return "ew-resize";
  return held.x === held.y ? "nwse-resize" : "nesw-resize";
}

let drag = null;
stage.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !event.isPrimary) return;
  event.preventDefault();
  stage.setPointerCapture(event.pointerId);
  drag = { from: place(event), at: [event.clientX, event.clientY], held: grip(event), before: question.box, moved: false };
});
stage.addEventListener("pointermove", (event) => {
  if (!drag) {
    stage.style.cursor = cursor(grip(event));
    return;
  }
  if (!event.isPrimary) return;
  const { from, at, held, before } = drag;
  // A few pixels of unrest are a click, and a click changes nothing.
  drag.moved ||= Math.hypot(event.clientX - at[0], event.clientY - at[1]) > 3;
  if (!drag.moved) return;
  const to = place(event);
  if (held) {
    setBox(pulled(before, held, to.x - from.x, to.y - from.y));
    return;
  }
  const drawn = { x0: Math.min(from.x, to.x), y0: Math.min(from.y, to.y), x1: Math.max(from.x, to.x), y1: Math.max(from.y, to.y) };
  const wide = Math.round(drawn.x1) > Math.round(drawn.x0) && Math.round(drawn.y1) > Math.round(drawn.y0);
  setBox(wide ? drawn : before);
});
stage.addEventListener("pointerup", () => {
  if (drag && question.box) handle.focus({ preventScroll: true });
  drag = null;
});
// Two fingers zoom the page: what the first of them has drawn until then is taken back.
stage.addEventListener("pointercancel", () => {
  if (drag?.moved) setBox(drag.before);
  drag = null;
});

// Else Chromium takes a quick stroke for a fling and swallows the tap that follows it.
stage.addEventListener("touchmove", (event) => event.touches.length === 1 && event.cancelable && event.preventDefault(), { passive: false });

handle.addEventListener("keydown", (event) => {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
  if (event.key === "Delete" || event.key === "Backspace") {
    setBox(null);
    $("place").focus();
  } else if ((dx || dy) && !event.ctrlKey && !event.metaKey && !event.altKey) {
    // One pixel of the screen, or of a small photo; a held key runs.
    const pace = Math.max(1, photo.naturalWidth / stage.clientWidth) * (event.repeat ? 6 : 1);
    const held = event.shiftKey ? { x: Math.abs(dx), y: Math.abs(dy) } : {};
    setBox(pulled(question.box, held, dx * pace, dy * pace));
  } else {
    return;
  }
  event.preventDefault();
});

$("place").addEventListener("click", () => {
  if (question.box) {
    setBox(null);
    return;
  }
  const { naturalWidth: width, naturalHeight: height } = photo;
  setBox({ x0: width / 4, y0: height / 4, x1: Math.max(1, (width * 3) / 4), y1: Math.max(1, (height * 3) / 4) });
  handle.focus({ preventScroll: true });
});

for (const input of edges) {
  input.addEventListener("input", () => {
    const [x0, y0, x1, y1] = edges.map((edge) => edge.valueAsNumber);
    setBox(x0 < x1 && y0 < y1 ? { x0, y0, x1, y1 } : null, { typed: true });
  });
  input.addEventListener("change", () => {
    if (!question.box) return;
    const { x0, y0, x1, y1 } = question.box;
    const { naturalWidth: width, naturalHeight: height } = photo;
    const inside = { x0: clamp(x0, 0, width - 1), y0: clamp(y0, 0, height - 1), x1: clamp(x1, 1, width), y1: clamp(y1, 1, height) };
    if (edges.some((edge) => edge.valueAsNumber !== inside[edge.id])) setBox(inside);
  });
}

// ── Text and entity ─────────────────────────────────────────────────────────────────────────────────────────────────

const words = $("words");
/** Every word of the text: where its core without quotes, stops and `'s` begins and ends. */
let cores = [];
/** First and last chosen word. */
let span = null;

/** Lays the text out in words that can be chosen. */
function layWords() {
  const text = $("text").value;
  cores = [];
  const laid = [...text.matchAll(/\S+/gu)].map((match, index) => {
    const core = match[0].match(/^([\p{Ps}\p{Pi}"'¿¡]*)(.+?)((?:['’]s)?[\p{Pe}\p{Pf}"'.,;:!?…]*)$/su);
    const [, before, word, after] = core ?? [null, "", match[0], ""];
    const start = match.index + before.length;
    cores.push({ start, end: start + word.length });
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: word, tabIndex: index ? -1 : 0 });
    button.dataset.index = index;
    const whole = document.createElement("span");
    whole.append(before, button, after);
    return whole;
  });
  words.replaceChildren(...laid.flatMap((whole) => [whole, " "]));
  findSpan();
}

/** Marks the words that the entity covers: whole words if it has a choice. */
function findSpan() {
  const parts = $("entity").value.trim().split(/\s+/u).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = parts[0] && new RegExp(parts.join("\\s+"), "giu");
  const found = pattern ? [...$("text").value.matchAll(pattern)].map(({ index, 0: { length } }) => [index, index + length]) : [];
  const [start, end] = found.find(([start]) => cores.some((core) => core.start === start)) ?? found[0] ?? [0, 0];
  const touched = cores.flatMap((core, index) => (core.start < end && core.end > start ? [index] : []));
  paint(touched.length ? [touched[0], touched.at(-1)] : null);
}

function paint(chosen) {
  span = chosen;
  [...words.children].forEach((whole, index) => {
    const inside = chosen && index >= chosen[0] && index <= chosen[1];
    whole.querySelector("button").setAttribute("aria-pressed", Boolean(inside));
    whole.classList.toggle("within", Boolean(inside && index < chosen[1]));
  });
}

/** Makes the words from `first` to `last` the entity; `null` for none. */
function choose(chosen) {
  paint(chosen && [Math.min(...chosen), Math.max(...chosen)]);
  $("entity").value = span ? $("text").value.slice(cores[span[0]].start, cores[span[1]].end).replace(/\s+/gu, " ") : "";
  mark("entity");
  changed();
}

/** A click: a word beside the chosen ones joins them, one at their end leaves, any other stands alone. */
function click(index) {
  const [first, last] = span ?? [NaN, NaN];
  if (index === first - 1) choose([index, last]);
  else if (index === last + 1) choose([first, index]);
  else if (first === last && index === first) choose(null);
  else if (index === first) choose([first + 1, last]);
  else if (index === last) choose([first, last - 1]);
  else choose([index, index]);
}

const indexOf = (element) => {
  const button = element?.closest?.("#words button") ?? element?.closest?.("#words span")?.querySelector("button");
  return button ? Number(button.dataset.index) : null;
};

let sweep = null;
words.addEventListener("pointerdown", (event) => {
  const from = indexOf(event.target);
  sweep = event.button === 0 && event.isPrimary && from !== null ? { from, swept: false } : null;
});
document.addEventListener("pointermove", (event) => {
  if (!sweep || !event.isPrimary) return;
  const to = indexOf(document.elementFromPoint(event.clientX, event.clientY));
  sweep.swept ||= to !== null && to !== sweep.from;
  if (sweep.swept && to !== null) choose([sweep.from, to]);
});
for (const kind of ["pointerup", "pointercancel"]) {
  // The click that follows a sweep is over before the timer is.
  document.addEventListener(kind, () => setTimeout(() => (sweep = null)));
}
words.addEventListener("click", (event) => {
  const index = indexOf(event.target);
  if (index === null || sweep?.swept) return;
  if (event.shiftKey && span) choose([Math.min(span[0], index), Math.max(span[1], index)]);
  else click(index);
  rove(index);
});

/** Of all words only one is a stop of the tab key. */
function rove(index) {
  const buttons = [...words.querySelectorAll("button")];
  buttons.forEach((button, at) => (button.tabIndex = at === index ? 0 : -1));
  buttons[index]?.focus();
}

let anchor = null;
words.addEventListener("keydown", (event) => {
  const at = indexOf(event.target);
  const last = cores.length - 1;
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
  if (event.key === "Escape" && !asking) choose(null);
  if (event.key === "Shift") anchor = null;
  if (at === null || to === undefined || to < 0 || to > last || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  if (event.shiftKey) {
    anchor ??= at;
    choose([anchor, to]);
  }
  rove(to);
});

$("text").addEventListener("input", () => {
  layWords();
  mark("text");
  mark("entity");
  changed();
});
$("entity").addEventListener("input", () => {
  findSpan();
  mark("entity");
  changed();
});

// ── Asking ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What keeps the question from being asked. */
function missing() {
  const lacks = [];
  const lack = (field, title, detail) => lacks.push({ field, title, detail });
  if (!question.file) lack("image", "No photo", "drop, choose or paste one");
  else if (!question.box && edges.some((edge) => edge.value)) {
    lack("bbox", "No box", "four whole numbers, left below right and top below bottom");
  } else if (!question.box) lack("bbox", "No box", "draw one around the object");
  if (!$("text").value.trim()) lack("text", "No text", "type the headline beside the photo");
  else if (!$("entity").value.trim()) lack("entity", "No entity", "click its words in the text, or type it");
  return lacks;
}

/** Shows what is missing; tells whether nothing is. */
function complete() {
  for (const field of Object.keys(controls)) mark(field);
  const lacks = missing();
  lacks.forEach(fault);
  controls[lacks[0]?.field]?.()?.focus();
  return lacks.length === 0;
}

const bbox = () => ["x0", "y0", "x1", "y1"].map((edge) => question.box[edge]);

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Problem({ field: "image", title: "Not read", detail: "the file cannot be read any more" }));
    reader.readAsDataURL(file);
  });
}

/** A failure in the form of RFC 9457. */
class Problem extends Error {
  constructor(problem) {
    super(problem.title);
    this.problem = problem;
  }

  static async of(response) {
    const wait = response.headers.get("retry-after");
    const problem = await response.json().catch(() => ({}));
    const { title = `The service answered ${response.status}`, detail = "", field } = problem;
    return new Problem({ title, detail: wait ? `${detail} Try again in ${wait} s.` : detail, field });
  }
}

/** The events of a `text/event-stream`; comments are heartbeats and say nothing. */
async function* events(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const messages = (rest + decoder.decode(value, { stream: true })).split(/\r?\n\r?\n/);
    rest = messages.pop();
    for (const message of messages) {
      const lines = message.split(/\r?\n/);
      const all = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).replace(/^ /, ""));
      const data = all("data").join("\n");
      if (data) yield { event: all("event").at(-1) ?? "message", data: JSON.parse(data) };
    }
  }
}

$("question").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (asking || !complete()) return;
  clearAnswer();
  const control = new AbortController();
  asking = control;
  busy(true);
  try {
    await ask(control.signal);
  } catch (error) {
    // Who cancels, or changes the question, knows why there is no answer.
    if (!control.signal.aborted) {
      clearAnswer();
      const unreachable = { title: "No answer", detail: "the service cannot be reached, or the connection broke" };
      const problem = error instanceof Problem ? error.problem : unreachable;
      controls[fault(problem)]?.()?.focus();
      if (!(error instanceof Problem)) console.warn(error);
      control.abort();
    }
  } finally {
    if (asking === control) {
      asking = null;
      busy(false);
    }
  }
});

/** Some services want a key. It is asked for once one did, and forgotten with the page. */
function withKey(headers = {}) {
  const key = $("key").value.trim();
  return key ? { ...headers, authorization: `Bearer ${key}` } : headers;
}

async function ask(signal) {
  if (ontology.labels.length === 0) await readOntology();
  const image = await base64(question.file);
  const body = { image, bbox: bbox(), text: $("text").value, entity: $("entity").value, stream: true, scores: true };
  const response = await fetch("extract", {
    method: "POST",
    headers: withKey({ "content-type": "application/json", accept: "text/event-stream" }),
    body: JSON.stringify(body),
    signal,
  });
  if (response.status === 401) $("key-line").hidden = false;
  if (!response.ok) throw await Problem.of(response);
  let whole = false;
  for await (const { event, data } of events(response.body)) {
    if (signal.aborted) return;
    if (event === "step") showStep(data);
    if (event === "relation") showRelation(data);
    if (event === "error") throw new Problem(data);
    if (event === "done") showAnswer(data);
    whole ||= event === "done";
  }
  if (!whole) throw new Problem({ title: "No answer", detail: "the connection ended before the answer did" });
}

function cancel() {
  asking?.abort();
  asking = null;
  clearAnswer();
  busy(false);
}

let clock = null;
function busy(now) {
  const held = document.activeElement === $("cancel");
  $("ask").setAttribute("aria-disabled", now);
  $("ask").textContent = now ? "Thinking…" : "Find the relation";
  $("cancel").hidden = !now;
  clearInterval(clock);
  if (held) $("ask").focus();
  if (!now) {
    $("elapsed").replaceChildren(keys);
    return;
  }
  const start = performance.now();
  const tick = () => ($("elapsed").textContent = `${((performance.now() - start) / 1000).toFixed(1)} s`);
  clock = setInterval(tick, 100);
  tick();
  $("steps").children[0].className = "now";
  const { top } = $("answer").getBoundingClientRect();
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (top > innerHeight / 3 || top < -40) $("answer").scrollIntoView({ behavior: still ? "auto" : "smooth", block: "start" });
}

const keys = $("keys");
if (/Mac|iP(hone|ad)/.test(navigator.platform)) keys.textContent = "⌘ Return";
$("cancel").addEventListener("click", cancel);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    $("question").requestSubmit();
  }
  if (event.key === "Escape" && asking) cancel();
});

// ── Answer ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The question is another one: an answer to the old one would lie. */
function changed() {
  if (asking) cancel();
  else clearAnswer();
  mark("general");
  $("shell").hidden = true;
}

function clearAnswer() {
  $("tie").className = "tie";
  $("relation").textContent = "?";
  for (const id of ["object-type", "entity-type", "definition", "label", "note", "consistent", "said"]) $(id).textContent = "";
  for (const step of $("steps").children) {
    step.className = "";
    step.querySelector("p").textContent = "";
  }
  $("scores-room").hidden = $("work-room").hidden = true;
  if (question.box) cut(bbox());
  else $("crop").hidden = true;
  $("named").textContent = $("entity").value.trim();
  $("named").hidden = !$("named").textContent;
}

/** Draws what a box cuts from the photo. */
function cut([x0, y0, x1, y1]) {
  const [width, height] = [x1 - x0, y1 - y0];
  const scale = Math.min(1, 480 / Math.max(width, height));
  const canvas = $("crop");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d").drawImage(photo, x0, y0, width, height, 0, 0, canvas.width, canvas.height);
  canvas.hidden = false;
}

function showStep({ number, title, text }) {
  const step = $("steps").children[number - 1];
  if (!step) return;
  step.className = "done";
  step.querySelector("h3").textContent = title;
  // Names of labels stand out from the prose.
  const pieces = text.split(/((?:\/[a-z]+){2}\/[a-z_]+)/).map((piece, at) => {
    const code = document.createElement("code");
    code.textContent = piece;
    return at % 2 ? code : piece;
  });
  step.querySelector("p").replaceChildren(...pieces);
  const next = $("steps").children[number];
  if (next) next.className = "now";
}

const inWords = (label) => (label === "none" ? "no clear relation" : label.split("/").at(-1).replaceAll("_", " "));
const typeName = (name) => ontology.types.find((type) => type.name === name)?.description ?? name ?? "";
const percent = (share) => (share > 0.999 ? ">\u00a099.9\u00a0%" : share < 0.001 ? "<\u00a00.1\u00a0%" : `${(100 * share).toFixed(1)}\u00a0%`);

function showRelation({ label, object_type, entity_type }) {
  const definition = ontology.labels.find(({ name }) => name === label)?.definition ?? "";
  $("tie").className = label === "none" ? "tie none" : "tie known";
  $("relation").textContent = inWords(label);
  $("object-type").textContent = typeName(object_type);
  $("entity-type").textContent = typeName(entity_type);
  $("definition").textContent = definition && `${definition}.`;
  $("label").textContent = label;
  $("said").textContent = `The relation is: ${inWords(label)}. ${definition}`;
}

function showAnswer(answer) {
  const { relation, trace, scores = [], image, crop, model, usage, timings_ms: times } = answer;
  trace.steps.forEach((step) => $("steps").children[step.number - 1]?.className !== "done" && showStep(step));
  showRelation(relation);
  cut(crop.box);
  const chosen = scores.find(({ label }) => label === relation.label);
  if (chosen) $("label").textContent += ` · ${percent(chosen.probability)}`;
  if (model.id === "more-r1-mini" && !question.example) {
    $("note").textContent = "more-r1-mini knows only the drawn world of the examples. About any other photo it answers in the right form, and makes it up.";
  }
  $("consistent").classList.toggle("bad", !trace.consistent);
  $("consistent").textContent = trace.consistent
    ? "Consistent: types, candidates and label of the steps agree."
    : "Not consistent: types, candidates and label of the steps contradict each other.";

  const bar = (name, share, figure, classes = [], title = "") => {
    const item = document.createElement("li");
    const parts = ["span", "i", "span"].map((tag) => document.createElement(tag));
    parts[0].className = "name";
    parts[0].textContent = name;
    parts[1].style.setProperty("--share", share);
    parts[2].className = "facts";
    parts[2].textContent = figure;
    item.className = classes.filter(Boolean).join(" ");
    item.title = title;
    const track = document.createElement("div");
    track.append(parts[1]);
    item.append(parts[0], track, parts[2]);
    return item;
  };
  $("scores").replaceChildren(...scores.map(({ label, probability }) => {
    const classes = [label === relation.label && "chosen", trace.candidates.includes(label) && "candidate"];
    const item = bar(label, probability, percent(probability), classes, ontology.labels.find(({ name }) => name === label)?.definition);
    item.dataset.label = label;
    return item;
  }));
  $("scores-room").hidden = scores.length === 0;

  const parts = ["queue", "preprocess", "vision", "prefill", "decode"];
  $("timings").replaceChildren(
    ...[...parts, "total"].map((part) => bar(part, times[part] / times.total, `${times[part].toFixed(times[part] < 10 ? 1 : 0)} ms`, [part === "total" && "candidate"])),
  );
  const facts = [
    ["Prompt", `${usage.prompt_tokens} tokens, ${usage.image_tokens} of them image (${image.tokens} photo, ${crop.tokens} crop), ${usage.cached_tokens} from the cache`],
    ["Answer", `${usage.completion_tokens} tokens, ${usage.forced_tokens} of them forced by the form`],
    ["Together", `${usage.total_tokens} tokens`],
    ["Photo", `${image.width} × ${image.height} pixels, ${image.format}`],
    ["Crop", `${crop.width} × ${crop.height} pixels at ${crop.box[0]}, ${crop.box[1]}${crop.clipped ? ", cut off at the edge" : ""}`],
    ["Model", `${model.id}, ${model.dtype}, ${model.hash.slice(0, 12)}`],
    ["Prompt order", model.template],
    ["Ended", answer.finish_reason === "stop" ? "by itself" : "at the limit of tokens"],
  ];
  $("facts").replaceChildren(...facts.flatMap((fact) => fact.map((words, at) => {
    const element = document.createElement(at ? "dd" : "dt");
    element.textContent = words;
    return element;
  })));
  $("raw").textContent = trace.raw;
  $("work-room").hidden = false;
}

// ── Problems ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What gets the focus when a field is at fault. */
const controls = {
  image: () => $("file"),
  bbox: () => (question.box ? handle : $("place")),
  text: () => $("text"),
  entity: () => $("entity"),
  general: () => null,
};
const controlled = { image: ["file"], bbox: edges.map(({ id }) => id), text: ["text"], entity: ["entity"], general: [] };

/** Says what is wrong, beside the field at fault; returns which that is. */
function fault({ title, detail, field }) {
  const name = { image: "image", bbox: "bbox", box_format: "bbox", text: "text", entity: "entity" }[field?.match(/^\w+/)?.[0]] ?? "general";
  const strong = document.createElement("strong");
  strong.textContent = title;
  $(`${name}-problem`).replaceChildren(strong, detail ? `: ${detail}` : "");
  for (const id of controlled[name]) $(id).setAttribute("aria-invalid", "true");
  return name;
}

/** Takes the problem of a field away. */
function mark(field) {
  $(`${field}-problem`).replaceChildren();
  for (const id of controlled[field]) $(id).removeAttribute("aria-invalid");
}

// ── Curl ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** The question as a command for a shell. Photos of examples are fetched, others have to lie in the folder. */
function command() {
  const { file, example } = question;
  const here = (path) => quoted(new URL(path, document.baseURI).href);
  // Inside curl's own quotes, commas and semicolons mean nothing.
  const name = /[",;\\]/.test(file.name) ? `"${file.name.replace(/["\\]/g, "\\$&")}"` : file.name;
  const image = example ? `image=@-;filename=${file.name}` : `image=@${name}`;
  const fields = [["-F", image], ["-F", `bbox=${bbox()}`], ["--form-string", `text=${$("text").value}`], ["--form-string", `entity=${$("entity").value}`]];
  const lines = fields.map(([flag, value]) => `  ${flag} ${quoted(value)}`);
  return `${example ? `curl -sS ${here(`examples/${example}`)} |\n` : ""}${[`curl -sS ${here("extract")}`, ...lines].join(" \\\n")}`;
}

$("curl").addEventListener("click", async () => {
  if (!complete()) return;
  const text = command();
  $("command").textContent = text;
  $("shell").hidden = false;
  // There is no clipboard on pages that came over plain HTTP from another machine.
  const copied = await (navigator.clipboard?.writeText(text) ?? Promise.reject()).then(() => true, () => false);
  if (!copied) getSelection().selectAllChildren($("command"));
  $("copied").textContent = copied ? "Copied." : "This browser does not let the page copy; the command is selected.";
});

// ── Examples ────────────────────────────────────────────────────────────────────────────────────────────────────────

function pressExample(file) {
  for (const button of $("examples").querySelectorAll("button")) button.setAttribute("aria-pressed", button.dataset.file === file);
}

async function openExample({ file, bbox: [x0, y0, x1, y1], text, entity }) {
  const response = await fetch(`examples/${file}`);
  const blob = await response.blob();
  if (!(await show(new File([blob], file, { type: blob.type }), file))) return;
  $("text").value = text;
  $("entity").value = entity;
  mark("text");
  mark("entity");
  layWords();
  setBox({ x0, y0, x1, y1 });
  pressExample(file);
}

async function listExamples() {
  const examples = await (await fetch("examples/index.json")).json();
  $("examples").replaceChildren(...examples.map((example) => {
    const image = Object.assign(new Image(320, 240), { src: `examples/${example.file}`, alt: "" });
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.dataset.file = example.file;
    button.setAttribute("aria-pressed", "false");
    button.append(image, example.title);
    button.addEventListener("click", () => openExample(example));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

/** Without it labels have no definitions; a service that is still loading its model has none yet. */
async function readOntology() {
  const response = await fetch("ontology", { headers: withKey() });
  if (!response.ok) return;
  const { hash, ontology: read } = await response.json();
  ontology = read;
  $("ontology").textContent = `${read.labels.length} labels of “${read.name}”, ${hash.slice(0, 12)}`;
}

listExamples().catch(console.warn);
readOntology().catch(console.warn);
layWords();

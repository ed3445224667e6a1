// The page: pictures in, answers out. `backend` answers them: server.js, or local.js in an export.
"use strict";

const TOP = 5;
const THUMBNAIL = { few: 640, many: 240 }; // pixels of the longer side; each is kept in memory
const SHOT_QUALITY = 0.95;
const FEW = 3; // up to so many answers at once are read out one by one
const RETRY = 2000; // milliseconds between frames while something is wrong
const SETTLED = 1200; // milliseconds that a live answer lasts before it is read out

const at = (id) => document.getElementById(id);
const show = (id, shown = true) => { at(id).hidden = !shown; };
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

const camera = new Camera(at("video"));
const speller = new Speller();
const queue = [];
let models = [];
let model = null;
let working = 0;

// ---- Opening ----

async function begin() {
  show("opening");
  complain("");
  try {
    models = await backend.models({ progress: showOpening, folder: askForFolder });
    if (models.length === 0) throw new Error("There is no model to ask.");
  } catch (error) {
    complain(error);
    return;
  } finally {
    show("opening", false);
  }
  at("model").replaceChildren(...models.map(({ name }) => new Option(name)));
  show("chooser", models.length > 1);
  at("privacy").textContent = backend.privacy;
  choose(models[0]);
  show("entry");
  startWork();
}

function showOpening(words, share) {
  at("opening-words").textContent = words;
  if (share === undefined) at("opening-share").removeAttribute("value");
  else at("opening-share").value = share;
}

/** Return the files of a folder that the visitor chooses. */
function askForFolder(words) {
  at("opening-words").textContent = words;
  show("opening-share", false);
  show("folder");
  at("choose-folder").onclick = () => at("folder-files").click();
  return new Promise((done) => {
    at("folder-files").onchange = () => {
      show("folder", false);
      show("opening-share");
      done([...at("folder-files").files]);
    };
  });
}

function choose(chosen) {
  model = chosen;
  const spelling = model.mode === "spell";
  document.title = `${model.name} · Silverprint`;
  at("title").textContent = model.name;
  at("summary").textContent = summary(model);
  show("spelling", spelling);
  show("hold", spelling);
  document.body.classList.toggle("spells", spelling);
  speller.reset();
}

function summary({ classes, task, mode }) {
  const named = classes.length > 30 ? [...classes.slice(0, 10), `${classes.length - 10} more`] : classes;
  const list = new Intl.ListFormat("en", { type: "conjunction" }).format(named);
  if (mode === "spell") return `Hold a sign up to the camera, and it is written down. It knows ${list}.`;
  if (task === "multi-label") return `Says which of ${classes.length} things a picture shows, if any: ${list}.`;
  return `Tells ${classes.length} kinds of picture apart: ${list}.`;
}

// ---- Saying things ----

function complain(trouble) {
  at("trouble").textContent = trouble.message ?? trouble;
  show("trouble", Boolean(trouble));
  if (trouble.keyWanted && at("key").hidden) {
    show("key");
    at("key-text").focus();
  }
}

function announce(words) {
  at("said").textContent = words;
}

/** Return what is said of a picture: {label, share, unknown}. */
function verdict(answer) {
  if (answer.unknown) return { label: "Unknown", share: "", unknown: true };
  if (!answer.label) return { label: "None of them", share: "", unknown: true };
  if (answer.labels && answer.labels.length !== 1) return verdictOfSet(answer.labels);
  const labels = model.task === "multi-label" ? answer.label.split("|") : [answer.label];
  return { label: labels.join(", "), share: labels.length > 1 ? "" : percent(answer.probability), unknown: false };
}

/** Return what is said where a coverage was asked for, and not exactly one label is likely enough. */
function verdictOfSet(labels) {
  if (labels.length === 0) return { label: "None is likely enough", share: "", unknown: true };
  const list = new Intl.ListFormat("en", { type: "disjunction" }).format(labels);
  return { label: list, share: "", unknown: false };
}

/** Show an answer, in the same elements as the last one where there was one. */
function showAnswer(place, answer, name) {
  if (answer.error) return showTrouble(place, `${name || "The frame"} ${answer.error}.`);
  if (!place.querySelector(".verdict")) place.replaceChildren(at("answer").content.cloneNode(true));
  const { label, share, unknown } = verdict(answer);
  place.querySelector(".file").textContent = name;
  place.querySelector(".verdict").classList.toggle("unknown", unknown);
  place.querySelector(".label").textContent = label;
  place.querySelector(".verdict .share").textContent = share;
  place.querySelector(".time").textContent = `${Math.round(answer.milliseconds)} ms`;
  showBars(place.querySelector(".bars"), answer.top);
  return `${name}: ${label} ${share}`;
}

function showBars(list, top) {
  while (list.children.length > top.length) list.lastElementChild.remove();
  while (list.children.length < top.length) list.append(at("bar").content.cloneNode(true));
  top.forEach(([label, share], i) => {
    const row = list.children[i];
    row.querySelector(".name").textContent = label;
    row.querySelector(".share").textContent = percent(share);
    row.querySelector("i").style.width = `${100 * share}%`;
  });
}

function showTrouble(place, sentence) {
  const words = document.createElement("p");
  words.className = "trouble";
  words.textContent = sentence;
  place.replaceChildren(words);
  return sentence;
}

// ---- Pictures ----

/** Take files to be answered, even while the model is still loading. */
function add(files) {
  if (files.length === 0) return;
  if (model) complain("");
  const jobs = files.map((file) => ({ file, card: newCard(file) }));
  at("pictures").prepend(...jobs.map(({ card }) => card));
  show("answers");
  queue.push(...jobs);
  if (model) startWork();
}

function startWork() {
  const count = queue.length;
  while (working < backend.parallel && working < count) work(count);
}

function newCard(file) {
  const card = at("picture").content.cloneNode(true).firstElementChild;
  card.querySelector("canvas").setAttribute("aria-label", file.name);
  return card;
}

async function work(count) {
  working++;
  while (queue.length > 0) {
    const said = await look(queue.shift());
    if (count <= FEW) announce(said);
  }
  working--;
  if (working === 0 && count > FEW) announce(`${count} pictures are answered.`);
}

async function look({ file, card }) {
  const place = card.querySelector(".answer");
  card.setAttribute("aria-busy", "true");
  await drawThumbnail(card.querySelector(".mount"), file);
  try {
    return showAnswer(place, await backend.predict(model, file, file.name, TOP), file.name);
  } catch (error) {
    if (error.keyWanted) complain(error);
    return showTrouble(place, error.message);
  } finally {
    card.removeAttribute("aria-busy");
  }
}

async function drawThumbnail(mount, file) {
  const canvas = mount.querySelector("canvas");
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    canvas.remove(); // the server may know the format all the same
    mount.classList.add("bare");
    mount.textContent = file.name.split(".").pop().slice(0, 5);
    return;
  }
  const longest = at("pictures").children.length > FEW ? THUMBNAIL.many : THUMBNAIL.few;
  const scale = Math.min(1, longest / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
}

/** Return the files that were dropped, those in folders too. */
async function droppedFiles(transfer) {
  const files = [...transfer.files];
  // Entries can be asked for only before the first await.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.());
  if (!entries.some((entry) => entry?.isDirectory)) return files;
  return (await Promise.all(entries.filter(Boolean).map(filesIn))).flat();
}

async function filesIn(entry) {
  if (entry.isFile) return new Promise((done, failed) => entry.file((file) => done([file]), failed));
  const reader = entry.createReader();
  const found = [];
  for (let part; part?.length !== 0; found.push(...part)) { // it lists 100 at a time
    part = await new Promise((done, failed) => reader.readEntries(done, failed));
  }
  const visible = found.filter(({ name }) => !name.startsWith("."));
  return (await Promise.all(visible.map(filesIn))).flat();
}

async function drop(event) {
  if (isText(event)) return;
  event.preventDefault();
  document.body.classList.remove("dragging");
  const files = await droppedFiles(event.dataTransfer);
  if (files.length === 0) complain("That was no picture file. Save the picture first, then drop the file.");
  add(files);
}

/** Return whether words are dragged to where words belong. */
function isText({ dataTransfer, target }) {
  return !dataTransfer.types.includes("Files") && target.closest?.("textarea");
}

// ---- The camera ----

async function useCamera() {
  if (!cameraAllowed()) { // not at an address without https; a phone's file chooser has a camera
    if (matchMedia("(pointer: coarse)").matches) at("shot").click();
    else complain("Browsers give the camera only to pages at https:// or localhost. Choose pictures instead.");
    return;
  }
  complain("");
  try {
    await camera.start(model.mode === "spell" ? "user" : camera.facing);
  } catch (error) {
    complain(error);
    return;
  }
  show("live");
  document.body.classList.add("filming");
  at("live").focus({ preventScroll: true });
  at("live").scrollIntoView({ block: "nearest" });
  show("turn", (await Camera.count()) > 1);
  watch(camera.video.srcObject);
}

function stopCamera() {
  camera.stop();
  speller.reset();
  show("live", false);
  document.body.classList.remove("filming");
  at("live-answer").replaceChildren();
  at("use-camera").focus();
}

/** Answer one frame after another, as long as this stream is shown. */
async function watch(stream) {
  const told = { label: null, since: 0, said: null };
  stream.getVideoTracks()[0].onended = stopCamera;
  const shown = () => camera.video.srcObject === stream;
  while (shown()) {
    const began = performance.now();
    let rest = backend.liveInterval;
    try {
      const frame = await backend.frame(camera.video);
      const answer = await backend.predict(model, frame, "camera.jpg", TOP);
      if (shown()) showLive(answer, told);
    } catch (error) {
      if (shown()) showTrouble(at("live-answer"), error.message);
      rest = RETRY;
    }
    await pause(Math.max(0, rest - (performance.now() - began)));
    await new Promise(requestAnimationFrame); // a page that nobody sees looks at nothing
  }
}

function showLive(answer, told) {
  const now = performance.now();
  showAnswer(at("live-answer"), answer, "");
  if (answer.error) return;
  const { label, share } = verdict(answer);
  if (model.mode === "spell") {
    spell(label, share ? answer.probability : 0, now); // without a share it is not one letter
  } else if (label !== told.label) {
    Object.assign(told, { label, since: now });
  } else if (now - told.since > SETTLED && told.said !== label) {
    told.said = label;
    announce(`${label} ${share}`);
  }
}

async function takePicture() {
  const name = `camera ${new Date().toLocaleTimeString("en-GB").replaceAll(":", ".")}.jpg`;
  const blob = await jpegOf(camera.video, SHOT_QUALITY);
  if (blob) add([new File([blob], name, { type: blob.type })]);
}

// ---- Spelling ----

function spell(label, probability, now) {
  const { progress, letter } = speller.see(label, probability, now);
  at("hold-arc").style.strokeDashoffset = 1.01 * (1 - progress); // a little more than all, or a trace of it stays
  at("hold").classList.toggle("full", progress === 1);
  at("sign").textContent = speller.sign ?? "";
  at("sign").classList.toggle("long", (speller.sign ?? "").length > 2);
  if (letter !== null) type(letter);
}

/** Write a letter, or take the last one back ("\b"), or all of them (""). */
function type(letter) {
  const text = at("text");
  if (letter === "") text.value = "";
  else if (letter === "\b") text.value = [...text.value].slice(0, -1).join("");
  else text.value += letter;
  text.scrollTop = text.scrollHeight;
  announce(letter.trim() ? `${letter}. ${text.value}` : text.value || "empty");
}

function typeByKey(event) {
  const busy = event.target.closest("button, input, select, textarea");
  const letter = { " ": " ", Backspace: "\b", Escape: "" }[event.key];
  if (busy || letter === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  if (model?.mode !== "spell" || !camera.running) return;
  event.preventDefault();
  type(letter);
}

async function copyText() {
  at("text").select();
  await navigator.clipboard?.writeText(at("text").value).then(() => announce("copied"), () => {});
}

// ---- What the visitor does ----

for (const id of ["files", "shot"]) {
  at(id).addEventListener("change", () => {
    add([...at(id).files]);
    at(id).value = ""; // so that the same file may be chosen again
  });
}
at("choose").addEventListener("click", () => at("files").click());
at("use-camera").addEventListener("click", useCamera);
at("take").addEventListener("click", takePicture);
at("turn").addEventListener("click", () => camera.turn().then(() => watch(camera.video.srcObject), complain));
at("stop").addEventListener("click", stopCamera);
at("space").addEventListener("click", () => type(" "));
at("delete").addEventListener("click", () => type("\b"));
at("clear-text").addEventListener("click", () => type(""));
at("copy").addEventListener("click", copyText);
at("model").addEventListener("change", () => choose(models[at("model").selectedIndex]));
at("clear").addEventListener("click", () => {
  queue.length = 0;
  at("pictures").replaceChildren();
  show("answers", false);
  at("choose").focus();
});
at("key").addEventListener("submit", (event) => {
  event.preventDefault();
  backend.useKey(at("key-text").value);
  show("key", false);
  begin();
});
document.addEventListener("keydown", typeByKey);
document.addEventListener("paste", (event) => add([...event.clipboardData.files]));
document.addEventListener("dragover", (event) => {
  if (isText(event)) return;
  event.preventDefault();
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
document.addEventListener("drop", drop);

if (/Mac|iP/.test(navigator.platform)) at("paste-key").textContent = "⌘";
begin();

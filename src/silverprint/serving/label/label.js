// Labelling, one picture after another. What is shown is what the server has written.
"use strict";

const KEYS = [..."1234567890abcdefghijklmnopqrtvwxyz"]; // s skips and u takes back
const LIKELIEST = 10; // classes that are shown where there are more than keys
const COMING = 12;

let session = null;
let current = -1; // the picture's number; -1 at the end
let busy = false;
const labels = new Map(); // by number
const skipped = new Set();
const steps = []; // numbers that were labelled or skipped, to go back
let offered = null; // a new label that waits to be confirmed

const at = (id) => document.getElementById(id);
const show = (id, shown = true) => { at(id).hidden = !shown; };
const percent = (share) => (share > 0 && share < 0.005 ? "< 1 %" : `${Math.round(100 * share)} %`);
const announce = (words) => { at("said").textContent = words; };
const address = (number, size) => `pictures/${session.key}/${number}/${size}`;

function complain(words) {
  at("trouble").textContent = words;
  show("trouble", Boolean(words));
}

async function ask(path, method = "GET", body) {
  let response;
  try {
    const headers = body ? { "content-type": "application/json" } : {};
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Error("The program does not answer. Is it still running? What was labelled is kept.");
  }
  const said = await response.json().catch(() => ({}));
  if (response.ok) return said;
  const sentence = typeof said.detail === "string" ? said.detail : `The program answers ${response.status}.`;
  throw new Error(sentence);
}

// ---- What is shown ----

function showNext() {
  const number = session.pictures.findIndex((_, i) => !labels.has(i) && !skipped.has(i));
  return showPicture(number);
}

async function showPicture(number) {
  current = number;
  offered = null;
  at("text").value = at("hint").textContent = "";
  const total = session.pictures.length;
  at("count").textContent = `${labels.size} of ${total}` + (skipped.size ? `, ${skipped.size} skipped` : "");
  at("share").value = total ? labels.size / total : 1;
  at("undo").disabled = steps.length === 0;
  show("back", steps.length > 0);
  show("work", number >= 0);
  show("end", number < 0);
  if (number < 0) return showEnd();
  const { name, guesses: [[guess, probability]] } = session.pictures[number];
  at("picture").src = address(number, "large");
  at("picture").alt = `Picture ${number + 1} of ${total}`;
  at("name").textContent = name;
  at("guess").textContent = guess;
  at("probability").textContent = percent(probability);
  showClasses();
  showComing();
  at("work").focus({ preventScroll: true }); // so that Enter accepts, whatever was pressed before
  announce(`Picture ${number + 1} of ${total}. The guess is ${guess}, ${percent(probability)}.`);
}

/** Return the classes that have keys now: all in their order, or the likeliest of very many. */
function keyed() {
  if (session.classes.length <= KEYS.length) return session.classes;
  return session.pictures[current].guesses.slice(0, LIKELIEST).map(([label]) => label);
}

function showClasses() {
  const guesses = new Map(session.pictures[current].guesses);
  const buttons = keyed().map((label, i) => {
    const button = at("class").content.cloneNode(true).firstElementChild;
    button.querySelector("kbd").textContent = KEYS[i].toUpperCase();
    button.querySelector("bdi").textContent = label;
    button.querySelector(".share").textContent = guesses.get(label) >= 0.01 ? percent(guesses.get(label)) : "";
    button.setAttribute("aria-keyshortcuts", KEYS[i].toUpperCase());
    button.classList.toggle("first", label === session.pictures[current].guesses[0][0]);
    button.addEventListener("click", () => give(label));
    return button;
  });
  at("classes").replaceChildren(...buttons);
  const options = session.classes.map((label) => Object.assign(document.createElement("option"), { value: label }));
  at("known").replaceChildren(...options);
}

function showComing() {
  const waiting = session.pictures.map((_, i) => i).filter((i) => i !== current && !labels.has(i) && !skipped.has(i));
  const items = waiting.slice(0, COMING).map((number) => {
    const item = document.createElement("li");
    item.append(Object.assign(new Image(), { src: address(number, "small"), alt: "" }));
    return item;
  });
  at("next").replaceChildren(...items);
  show("coming", items.length > 0);
  if (waiting.length) new Image().src = address(waiting[0], "large"); // so that it is there at once
}

async function showEnd() {
  const left = skipped.size ? ` ${skipped.size} skipped.` : "";
  at("end-title").textContent = `${labels.size} of ${session.pictures.length} labelled.${left}`;
  show("again", skipped.size > 0);
  at("end").focus({ preventScroll: true });
  announce(at("end-title").textContent);
  try {
    session = await ask("session");
  } catch (error) {
    return complain(error.message);
  }
  at("end-words").textContent = `They are in ${session.file}. Stop the program with Ctrl-C in its terminal; this comes next:`;
  at("command").textContent = session.command;
  at("objection").textContent = session.trouble;
  show("objection", Boolean(session.trouble));
}

// ---- What is done ----

/** Do one thing at a time: what is pressed meanwhile was meant for a picture that is leaving. */
async function alone(work) {
  if (busy || !session) return;
  busy = true;
  try {
    await work();
    complain("");
  } catch (error) {
    complain(error.message);
  } finally {
    busy = false;
  }
}

const give = (wish) => alone(async () => {
  const number = current;
  const { label } = await ask(`labels/${session.key}/${number}`, "PUT", { label: wish });
  labels.set(number, label);
  if (!session.classes.includes(label)) session.classes.push(label);
  steps.push(number);
  await showNext();
});

const skip = () => alone(async () => {
  skipped.add(current);
  steps.push(current);
  await showNext();
});

const undo = () => alone(async () => {
  if (steps.length === 0) return;
  const number = steps.at(-1);
  if (labels.has(number)) await ask(`labels/${session.key}/${number}`, "DELETE");
  steps.pop();
  labels.delete(number);
  skipped.delete(number);
  await showPicture(number);
});

const accept = () => give(session.pictures[current].guesses[0][0]);

/** Give what was typed; a class that was not there before only at the second Enter. */
function giveTyped(event) {
  event.preventDefault();
  const typed = at("text").value.trim().replace(/\s+/g, " ");
  if (!typed) return;
  const known = session.classes.find((label) => label.toLowerCase() === typed.toLowerCase());
  if (known === undefined && offered !== typed) {
    offered = typed;
    at("hint").textContent = `“${typed}” is a new class. Enter again adds it.`;
    announce(at("hint").textContent);
    return;
  }
  give(known ?? typed);
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !session) return;
  if (event.key === "Escape" && event.target === at("text")) return at("work").focus();
  if (event.target.closest("input")) return;
  const letter = event.key.toLowerCase();
  const onButton = event.target.closest("button, pre");
  if (letter === "u" || event.key === "Backspace") undo();
  else if (current < 0) return;
  else if (letter === "s") skip();
  else if (letter === "/") at("text").focus();
  else if (event.key === "Enter" && !onButton) accept();
  else {
    const label = keyed()[KEYS.indexOf(letter)];
    if (label === undefined) return;
    give(label);
  }
  event.preventDefault();
}

async function begin() {
  try {
    session = await ask("session");
  } catch (error) {
    return complain(error.message);
  }
  for (const [number, label] of session.given) {
    labels.set(number, label);
    steps.push(number);
  }
  at("where").textContent = `Each label is written to ${session.file} at once.`;
  return showNext();
}

at("accept").addEventListener("click", accept);
at("skip").addEventListener("click", skip);
at("undo").addEventListener("click", undo);
at("back").addEventListener("click", undo);
at("again").addEventListener("click", () => {
  steps.splice(0, steps.length, ...steps.filter((number) => !skipped.has(number)));
  skipped.clear();
  showNext();
});
at("other").addEventListener("submit", giveTyped);
at("picture").addEventListener("error", () => complain("This picture can no longer be read. Skip it with S."));
document.addEventListener("keydown", press);
begin();

// Answers without a server: model.onnx runs in a web worker of the browser. Only in exported pages.
"use strict";

const backend = (() => {
  const CONFIG = "page/config.json";
  const WORKER = "page/worker.js";
  const FROM_DISK = location.protocol === "file:";

  const waiting = new Map(); // the worker's answers that are due, by number
  let worker = null;
  let chosen = null; // files by path, where the page was opened from a disk

  // Pages opened from a disk may read only what the visitor hands them.
  function fileAt(path) {
    const file = chosen.get(path);
    if (!file) throw new Error(`The folder you chose has no ${path}. Choose the one that this page is in.`);
    return file;
  }

  async function open(path) {
    if (FROM_DISK && !path.startsWith("http")) return new Response(fileAt(path));
    const response = await fetch(path).catch(() => {
      throw new Error(`${path} cannot be reached. Is there a connection?`);
    });
    if (!response.ok) throw new Error(`${path} is missing (${response.status}). Copy the whole folder there.`);
    return response;
  }

  /** Return a script's address; from a disk, the script itself. */
  function script(path) {
    if (!FROM_DISK || path.startsWith("http")) return new URL(path, document.baseURI).href;
    return new Blob([fileAt(path)], { type: "text/javascript" });
  }

  async function load(path, count) {
    const counted = (await open(path)).body.pipeThrough(new TransformStream({
      transform(chunk, controller) {
        count(chunk.byteLength);
        controller.enqueue(chunk);
      },
    }));
    return new Response(counted).arrayBuffer();
  }

  async function askForFolder(folder) {
    const files = await folder(
      "This page was opened from a disk, where browsers let it read nothing by itself. "
      + "Choose the folder it is in; nothing of it leaves this device.",
    );
    return new Map(files.map((file) => [file.webkitRelativePath.split("/").slice(1).join("/"), file]));
  }

  /** Load both files, telling how far it is. */
  async function loadAll(config, progress) {
    const whole = config.model.bytes + config.runtime.bytes;
    let loaded = 0;
    const count = (bytes) => {
      loaded += bytes;
      const [part, all] = [loaded, Math.max(loaded, whole)].map((n) => (n / 1e6).toFixed(0));
      progress(`Loading the model: ${part} of ${all} MB`, loaded / Math.max(loaded, whole));
    };
    const files = await Promise.all([load(config.model.path, count), load(config.runtime.wasm, count)]);
    progress("Starting the model");
    return files;
  }

  function start() {
    const code = script(WORKER);
    worker = new Worker(typeof code === "string" ? code : URL.createObjectURL(code));
    worker.onmessage = ({ data }) => {
      const { done, failed } = waiting.get(data.number);
      waiting.delete(data.number);
      if (data.trouble) failed(new Error(data.trouble));
      else done(data.result);
    };
    worker.onerror = (event) => {
      const error = new Error(`The model's worker stopped: ${event.message || "its script did not load"}.`);
      for (const { failed } of waiting.values()) failed(error);
      waiting.clear();
    };
  }

  let number = 0;

  function ask(message, transfer = []) {
    number++;
    return new Promise((done, failed) => {
      waiting.set(number, { done, failed });
      worker.postMessage({ ...message, number }, transfer);
    });
  }

  function ranked(probabilities, classes, top) {
    const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
    return order.slice(0, top).map((i) => [classes[i], probabilities[i]]);
  }

  return {
    parallel: 1,
    liveInterval: 0,
    privacy: "Pictures stay on this device: the model runs in your browser.",

    /** Load the model; return [{name, classes, task, mode}]. */
    async models({ progress, folder }) {
      if (FROM_DISK) chosen = await askForFolder(folder);
      const config = await (await open(CONFIG)).json();
      const [model, wasm] = await loadAll(config, progress);
      start();
      await ask({ start: { script: script(config.runtime.script), wasm, model } }, [wasm, model]);
      return [config];
    },

    /** Return what of a video `predict` takes. */
    frame(video) {
      return createImageBitmap(video);
    },

    /** Return {label, probability, top, unknown, milliseconds}, or {error}. */
    async predict(model, picture, name, top) {
      const transfer = picture instanceof ImageBitmap ? [picture] : [];
      const said = await ask({ look: { picture, decodeSide: model.decode_side } }, transfer);
      if (said.error) return said;
      const { probabilities, distance, milliseconds } = said;
      const likeliest = ranked(probabilities, model.classes, top);
      let [label, probability] = likeliest[0];
      if (model.task === "multi-label") {
        label = model.classes.filter((_, i) => probabilities[i] >= 0.5).join("|");
      }
      const unknown = model.unknown_beyond !== null && distance > model.unknown_beyond;
      return { label, probability, top: likeliest, unknown, milliseconds };
    },
  };
})();

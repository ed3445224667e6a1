// Answers from the server that sent this page. The exported page has local.js in its place.
"use strict";

const backend = (() => {
  const RETRIES = 5;
  const STORED_KEY = "silverprint-key";
  const JPEG_QUALITY = 0.92;

  async function ask(path, options = {}) {
    for (let tries = 1; ; tries++) {
      const key = sessionStorage.getItem(STORED_KEY);
      const headers = key ? { "X-API-Key": key } : {};
      let response;
      try {
        response = await fetch(path, { ...options, headers });
      } catch {
        throw new Error("The server does not answer. Is it still running?");
      }
      if (response.ok) return response.json();
      const wait = Number(response.headers.get("Retry-After"));
      if ([429, 503].includes(response.status) && wait && tries < RETRIES) {
        await new Promise((done) => setTimeout(done, 1000 * wait));
      } else {
        throw await refusal(response);
      }
    }
  }

  async function refusal(response) {
    const keyWanted = response.status === 401;
    const said = await response.json().catch(() => ({}));
    let sentence = said.detail || `The server answers ${response.status} ${response.statusText}.`;
    if (keyWanted) {
      const given = sessionStorage.getItem(STORED_KEY);
      sentence = given ? "The server does not know this key." : "This server answers only with a key.";
    }
    return Object.assign(new Error(sentence), { keyWanted, answers: said.answers });
  }

  return {
    parallel: 2,
    liveInterval: 100, // milliseconds between frames, so that one visitor leaves room for others
    privacy: "Pictures go to this server to be answered. It does not keep them.",

    /** Let a key travel with every request; without one, forget it. */
    useKey(key) {
      if (key) sessionStorage.setItem(STORED_KEY, key);
      else sessionStorage.removeItem(STORED_KEY);
    },

    /** Return [{name, classes, task, mode, limits}]. */
    async models() {
      return (await ask("info")).models;
    },

    /** Return what of a video `predict` takes: a JPEG. */
    frame(video) {
      return jpegOf(video, JPEG_QUALITY);
    },

    /** Return {label, probability, top, milliseconds}, or {error}. */
    async predict(model, picture, name, top) {
      if (picture.size > model.limits.bytes) {
        const [has, limit] = [picture.size, model.limits.bytes].map((n) => (n / 2 ** 20).toFixed(1));
        return { error: `is ${has} MB, above this server's limit of ${limit} MB; make it smaller` };
      }
      const body = new FormData();
      body.append("files", picture, name);
      const query = new URLSearchParams({ model: model.name, top });
      const began = performance.now();
      try {
        const [answer] = await ask(`predict?${query}`, { method: "POST", body });
        return { ...answer, milliseconds: performance.now() - began };
      } catch (error) {
        if (error.answers?.length) return error.answers[0];
        throw error;
      }
    },
  };
})();

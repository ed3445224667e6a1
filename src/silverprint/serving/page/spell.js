// From a stream of answers to letters: a sign that is held becomes one.
"use strict";

const SURE = 0.5; // probability from which a frame counts for its sign
const HOLD = 800; // milliseconds that a sign is held
const LET_GO = 300; // milliseconds without it, after which the same sign counts again
const LONGEST_STEP = 200; // milliseconds that one frame stands for, so that it takes several
const ACTIONS = { space: " ", del: "\b", delete: "\b", nothing: "", blank: "" };

class Speller {
  constructor() {
    this.reset();
  }

  reset() {
    Object.assign(this, { sign: null, held: 0, spent: null, apart: 0, last: null });
  }

  /**
   * Take one frame's answer at a time in milliseconds; return {progress: 0 to 1, letter}.
   * The letter is null, a class, " ", or "\b" to take one back.
   */
  see(label, probability, now) {
    const step = this.last === null ? 0 : Math.min(now - this.last, LONGEST_STEP);
    this.last = now;
    const seen = probability >= SURE && ACTIONS[label.toLowerCase()] !== "" ? label : null;
    this.apart = seen === this.spent ? 0 : this.apart + step;
    if (this.apart >= LET_GO) this.spent = null;
    this.#hold(seen, step);
    if (this.held < HOLD) return { progress: this.held / HOLD, letter: null };
    Object.assign(this, { held: 0, spent: this.sign, apart: 0 });
    return { progress: 1, letter: ACTIONS[this.sign.toLowerCase()] ?? this.sign };
  }

  // A stray frame costs time but not all of it.
  #hold(seen, step) {
    if (seen !== null && seen === this.sign) {
      this.held = seen === this.spent ? 0 : this.held + step;
      return;
    }
    this.held -= 2 * step;
    if (this.held <= 0) Object.assign(this, { sign: seen, held: 0 });
  }
}

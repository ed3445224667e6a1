// The camera: a stream in a <video>, and what keeps it from working as a sentence.
"use strict";

const CAMERA_TROUBLES = {
  NotAllowedError: "The camera may not be used here. Allow it for this page in the browser's settings.",
  NotFoundError: "No camera was found. Connect one, or choose pictures.",
  NotReadableError: "The camera is in use by another program. Close that, then try again.",
};

/** Return whether a page at this address may use the camera itself. */
function cameraAllowed() {
  return Boolean(navigator.mediaDevices?.getUserMedia);
}

class Camera {
  constructor(video) {
    this.video = video;
    this.facing = "environment";
  }

  get running() {
    return this.video.srcObject !== null;
  }

  async start(facing = this.facing) {
    this.stop();
    const wanted = { facingMode: facing, width: { ideal: 640 }, height: { ideal: 480 } };
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
    } catch (error) {
      throw new Error(CAMERA_TROUBLES[error.name] ?? `The camera does not start: ${error.message}.`);
    }
    this.facing = facing;
    this.video.srcObject = stream;
    const faces = stream.getVideoTracks()[0].getSettings().facingMode;
    // People expect a mirror; the model gets the frame as it is.
    this.video.classList.toggle("mirrored", faces !== "environment");
    await this.video.play();
  }

  turn() {
    return this.start(this.facing === "user" ? "environment" : "user");
  }

  stop() {
    for (const track of this.video.srcObject?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
  }

  /** Return how many cameras there are. */
  static async count() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.filter((device) => device.kind === "videoinput").length;
  }
}

/** Return a video's present frame as a JPEG. */
async function jpegOf(video, quality) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
}

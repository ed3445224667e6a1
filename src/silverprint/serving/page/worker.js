// The model itself, away from the page's thread. Its messages: {number, start} and {number, look}.

const LARGE = 2 ** 25; // pixels above which a picture is halved, for the sake of memory
const SMALL = 64; // pixels of the side of the picture that warms up
const STRIP = 2 ** 20; // pixels that are read from the decoded picture at once

let ort;
let session;

onmessage = async ({ data }) => {
  try {
    const result = data.start ? await start(data.start) : await look(data.look);
    postMessage({ number: data.number, result });
  } catch (error) {
    postMessage({ number: data.number, trouble: `The model does not run here: ${error.message ?? error}` });
  }
};

async function start({ script, wasm, model }) {
  // A page from a disk hands over the script itself; an address is good only where it was made.
  ort = await import(typeof script === "string" ? script : URL.createObjectURL(script));
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
  session = await ort.InferenceSession.create(new Uint8Array(model), { executionProviders: ["wasm"] });
  await run(new Uint8Array(3 * SMALL ** 2), SMALL, SMALL); // the first run takes several times as long
}

/** Return {probabilities, distance}; not every model tells a distance. */
async function run(pixels, height, width) {
  const images = new ort.Tensor("uint8", pixels, [1, height, width, 3]);
  const { probabilities, distance } = await session.run({ images });
  return { probabilities: probabilities.data, distance: distance?.data[0] };
}

/** Return {probabilities, distance, milliseconds}, or {error} where the picture cannot be read. */
async function look({ picture, decodeSide }) {
  const began = performance.now();
  let bitmap;
  try {
    bitmap = picture instanceof ImageBitmap ? picture : await decode(picture);
  } catch {
    return { error: "cannot be read by this browser; save it again as JPEG or PNG" };
  }
  const { pixels, height, width } = readPixels(bitmap, decodeSide);
  bitmap.close();
  return { ...(await run(pixels, height, width)), milliseconds: performance.now() - began };
}

// Colour profiles are ignored, as they were in training.
function decode(blob) {
  return createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "none" });
}

/** Return RGB pixels (height * width * 3), transparency laid on white, halved while too many. */
function readPixels(bitmap, decodeSide) {
  const block = blockOf(bitmap, decodeSide);
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.ceil(side / block));
  const rows = Math.min(height, Math.max(1, Math.floor(STRIP / bitmap.width / block)));
  const canvas = new OffscreenCanvas(bitmap.width, rows * block);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pixels = new Uint8Array(height * width * 3);
  for (let row = 0; row < height; row += rows) {
    const strip = Math.min(rows * block, bitmap.height - row * block);
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, -row * block);
    const { data } = context.getImageData(0, 0, bitmap.width, strip);
    average(data, bitmap.width, strip, block, pixels.subarray(row * width * 3));
  }
  return { pixels, height, width };
}

/** Return how many pixels, across and down, become one: 1, 2, 4 or 8. */
function blockOf({ width, height }, decodeSide) {
  let block = 1;
  while (block < 8 && (width * height) / block ** 2 > LARGE && Math.min(width, height) / (2 * block) >= decodeSide) {
    block *= 2;
  }
  return block;
}

/** Write the mean colour of each block of RGBA pixels; blocks at the edges may be smaller. */
function average(data, width, height, block, pixels) {
  let to = 0;
  for (let top = 0; top < height; top += block) {
    const bottom = Math.min(top + block, height);
    for (let left = 0; left < width; left += block) {
      const right = Math.min(left + block, width);
      const count = (bottom - top) * (right - left);
      let [red, green, blue] = [0, 0, 0];
      for (let y = top; y < bottom; y++) {
        for (let i = 4 * (y * width + left), end = i + 4 * (right - left); i < end; i += 4) {
          red += data[i];
          green += data[i + 1];
          blue += data[i + 2];
        }
      }
      pixels[to++] = (red + count / 2) / count;
      pixels[to++] = (green + count / 2) / count;
      pixels[to++] = (blue + count / 2) / count;
    }
  }
}

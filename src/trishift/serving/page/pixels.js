// From a picture to the network's input, exactly as in evaluation: Pillow's antialiased bilinear filter until the picture
// just covers the size, the center crop, and the normalization. (Python: `data/transforms.py`.)

const BITS = 22; // of Pillow's fixed-point weights

// Size [height, width] that just covers another one; the longer side is rounded down.
export function resizedSize(height, width, [coveredHeight, coveredWidth]) {
  return height * coveredWidth <= width * coveredHeight
    ? [coveredHeight, Math.trunc((coveredHeight * width) / height)]
    : [Math.trunc((coveredWidth * height) / width), coveredWidth];
}

// Half of an integer, rounded like Python's `round`: halves to even.
function half(number) {
  const down = Math.floor(number / 2);
  return number % 2 === 0 || down % 2 === 0 ? down : down + 1;
}

// The input pixels and weights of some output pixels along one axis.
function axis(inSize, outSize, first, count) {
  const scale = inSize / outSize;
  const support = Math.max(scale, 1);
  return Array.from({ length: count }, (_, place) => {
    const center = (first + place + 0.5) * scale;
    const start = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), inSize);
    const weights = Array.from({ length: end - start }, (_, offset) =>
      Math.max(0, 1 - Math.abs((start + offset - center + 0.5) / support)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { start, weights: Int32Array.from(weights, (weight) => 0.5 + (weight / total) * 2 ** BITS) };
  });
}

// Resize along one axis: `lines` lines of `count` outputs; strides are in elements of 3 or 4 channels.
function resample(source, pixels, lines, lineStride, pixelStride, target, targetLine, targetPixel) {
  for (let line = 0; line < lines; line++) {
    for (let place = 0; place < pixels.length; place++) {
      const { start, weights } = pixels[place];
      for (let channel = 0; channel < 3; channel++) {
        let sum = 1 << (BITS - 1);
        let position = line * lineStride + start * pixelStride + channel;
        for (let tap = 0; tap < weights.length; tap++, position += pixelStride) sum += source[position] * weights[tap];
        target[line * targetLine + place * targetPixel + channel] = sum >> BITS; // never below 0 or above 255
      }
    }
  }
}

// RGB pixels (crop height, crop width, 3) of an RGBA picture.
export function cropped({ pixels, width, height }, { resize, crop: [cropHeight, cropWidth] }) {
  const [newHeight, newWidth] = resizedSize(height, width, resize);
  const columns = axis(width, newWidth, half(newWidth - cropWidth), cropWidth);
  const rows = axis(height, newHeight, half(newHeight - cropHeight), cropHeight);
  const top = rows[0].start;
  const last = rows[cropHeight - 1];
  const needed = last.start + last.weights.length - top;
  const narrow = new Uint8Array(needed * cropWidth * 3);
  resample(pixels.subarray(top * width * 4), columns, needed, width * 4, 4, narrow, cropWidth * 3, 3);
  const result = new Uint8Array(cropHeight * cropWidth * 3);
  const shifted = rows.map(({ start, weights }) => ({ start: start - top, weights }));
  resample(narrow, shifted, cropWidth, 3, cropWidth * 3, result, 3, cropWidth * 3);
  return result;
}

// The network's input (1, 3, crop height, crop width), in float32 arithmetic.
export function networkInput(picture, input) {
  const pixels = cropped(picture, input);
  const size = pixels.length / 3;
  const result = new Float32Array(pixels.length);
  input.order.forEach((channel, place) => {
    const factor = input.factors[place];
    const offset = input.offsets[place];
    for (let i = 0; i < size; i++) result[place * size + i] = Math.fround(pixels[i * 3 + channel] * factor) - offset;
  });
  return result;
}

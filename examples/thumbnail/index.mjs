// Makes a small PNG of a PNG: {"image": "<base64>", "width": 64} answers {"image": "<base64>", "width", "height", "original"}.
import { imageSize } from 'image-size';
import { PNG } from 'pngjs';

const MAX_PIXELS = 16_000_000;

export async function handler(event) {
  const source = Buffer.from(event.image ?? '', 'base64');
  const original = measure(source);
  const width = Math.min(clamp(event.width ?? 128, 1, 1024), original.width);
  const height = Math.max(1, Math.round((original.height * width) / original.width));
  console.log(`${original.width}x${original.height} to ${width}x${height}`);
  const thumbnail = shrink(PNG.sync.read(source), width, height);
  return { width, height, original, image: PNG.sync.write(thumbnail).toString('base64') };
}

// The header tells the size before anything is decoded: a small file can claim a huge picture.
function measure(source) {
  let size;
  try {
    size = imageSize(source);
  } catch {
    throw new RangeError('image is not a picture in a known format');
  }
  if (size.type !== 'png') {
    throw new RangeError(`image is ${size.type}, only png is taken`);
  }
  if (size.width * size.height > MAX_PIXELS) {
    throw new RangeError(`image has ${size.width}x${size.height} pixels, more than ${MAX_PIXELS}`);
  }
  return { width: size.width, height: size.height };
}

// Every pixel of the thumbnail is the mean of the pixels that it covers, weighted by their opacity.
function shrink(source, width, height) {
  const target = new PNG({ width, height });
  for (let y = 0; y < height; y++) {
    const top = Math.floor((y * source.height) / height);
    const bottom = Math.max(top + 1, Math.floor(((y + 1) * source.height) / height));
    for (let x = 0; x < width; x++) {
      const left = Math.floor((x * source.width) / width);
      const right = Math.max(left + 1, Math.floor(((x + 1) * source.width) / width));
      target.data.set(mean(source, left, right, top, bottom), (y * width + x) * 4);
    }
  }
  return target;
}

function mean(source, left, right, top, bottom) {
  let red = 0, green = 0, blue = 0, alpha = 0;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const at = (y * source.width + x) * 4;
      const opacity = source.data[at + 3];
      red += source.data[at] * opacity;
      green += source.data[at + 1] * opacity;
      blue += source.data[at + 2] * opacity;
      alpha += opacity;
    }
  }
  const count = (right - left) * (bottom - top);
  const colour = (sum) => (alpha === 0 ? 0 : Math.round(sum / alpha));
  return [colour(red), colour(green), colour(blue), Math.round(alpha / count)];
}

function clamp(value, low, high) {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new RangeError(`width is ${value}, it must be a whole number from ${low} to ${high}`);
  }
  return value;
}

// A job whose globals are limited.

function main(event) {
  console.log('rehearsal', event, [1, 2], new Map([[1, 2]]));
  if (event.fail) {
    throw new RangeError(event.text);
  }
  return new Promise((resolve) => setTimeout(() => resolve({ ok: true, event, sum: [1, 2].map((n) => n * 2) }), 0));
}

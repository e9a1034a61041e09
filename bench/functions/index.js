"use strict";

exports.handler = async (event) => {
  if (event.waitMs !== undefined) {
    await new Promise((resolve) => setTimeout(resolve, event.waitMs));
  }
  return { answer: `${event.n * 7}/${event.pad.length}` };
};

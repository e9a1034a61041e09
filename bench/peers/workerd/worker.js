// The peer that isolates by V8 alone: workerd, the runtime of Cloudflare Workers, doing what functions/index.js does.
export default {
  async fetch(request) {
    const event = await request.json();
    return Response.json({ answer: `${event.n * 7}/${event.pad.length}` });
  },
};

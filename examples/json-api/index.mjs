// A small JSON API: what a parcel costs. Events and answers have the shape of API Gateway's proxy integration.
const RATES = {
  standard: { base: 390, perKilogram: 60, days: 3 },
  express: { base: 990, perKilogram: 140, days: 1 },
};
const MAX_GRAMS = 31_500;

const routes = {
  'GET /rates': () => json(200, { rates: RATES, currency: 'EUR', unit: 'cent' }),
  'POST /quotes': (event) => quote(parse(event.body)),
};

export async function handler(event, context) {
  const route = `${event.httpMethod} ${event.path}`;
  console.log(`${route} ${context.awsRequestId}`);
  try {
    if (routes[route]) {
      return routes[route](event);
    }
    const allow = Object.keys(routes).filter((known) => known.endsWith(` ${event.path}`)).map((known) => known.split(' ')[0]);
    return allow.length > 0
      ? json(405, { error: `${event.httpMethod} is not allowed here` }, { allow: allow.join(', ') })
      : json(404, { error: `there is nothing at ${event.path}` });
  } catch (error) {
    if (error instanceof Invalid) {
      return json(400, { error: error.message, field: error.field });
    }
    throw error;
  }
}

class Invalid extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

function quote({ service = 'standard', grams }) {
  const rate = Object.hasOwn(RATES, service) ? RATES[service] : undefined;
  if (!rate) {
    throw new Invalid('service', `service must be one of ${Object.keys(RATES).join(', ')}`);
  }
  if (!Number.isInteger(grams) || grams < 1 || grams > MAX_GRAMS) {
    throw new Invalid('grams', `grams must be a whole number from 1 to ${MAX_GRAMS}`);
  }
  return json(200, { service, grams, cents: rate.base + Math.ceil(grams / 1000) * rate.perKilogram, days: rate.days });
}

function parse(body) {
  try {
    const value = JSON.parse(body);
    if (value !== null && typeof value === 'object') {
      return value;
    }
  } catch {
    // Answered below, like a body of the wrong shape.
  }
  throw new Invalid('body', 'the body must be a JSON object');
}

function json(statusCode, body, headers = {}) {
  return { statusCode, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) };
}

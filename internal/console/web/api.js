// The API: what it answered last is kept with its tag, so that asking again costs
// nothing where nothing changed.

/** Problem is a refusal as RFC 9457 has it, or that nobody answered (status 0). */
export class Problem extends Error {
  constructor(p) { super(p.detail); Object.assign(this, p); }
}

let shown = Date.now();
/** now is the system's clock as it was last heard: a local system's may run fast. */
export const now = () => new Date(shown);

const kept = new Map();
export const store = { get(k) { try { return sessionStorage.getItem(k); } catch { return null; } }, set(k, v) { try { v ? sessionStorage.setItem(k, v) : sessionStorage.removeItem(k); } catch { /* for this page only */ } } };

let as = store.get('as'), token = store.get('token');
export const actingAs = () => as;
export function actAs(who) { as = who; store.set('as', who); kept.clear(); }
/** signedIn says whether this tab has a token. */
export const signedIn = () => Boolean(token);
export function signIn(t) { token = t; store.set('token', t); kept.clear(); }

async function ask(method, path, body, headers) {
  if (as) headers['Nightshift-As'] = as;
  if (token) headers.Authorization = 'Bearer ' + token;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let r, text;
  try {
    r = await fetch(path, { method, headers, cache: 'no-store', body: body === undefined ? undefined : JSON.stringify(body), signal: AbortSignal.timeout(30000) });
    text = r.status === 304 ? '' : await r.text();
  } catch {
    throw new Problem({ status: 0, detail: 'Nightshift does not answer.' });
  }
  const at = Date.parse(r.headers.get('Nightshift-Time'));
  if (at) shown = at;
  if (r.status === 304) return { r };
  let answer;
  try { answer = JSON.parse(text); } catch { answer = null; }
  if (!r.ok || !answer) throw new Problem({ status: r.status, ...(answer ?? {}), detail: answer?.detail ?? answer?.error ?? answer?.message ?? 'The answer cannot be read.' });
  return { r, answer };
}

/** get reads; while nothing changed it gives the very same object again. */
export async function get(path, query) {
  const q = new URLSearchParams(Object.entries(query ?? {}).filter(([, v]) => v)).toString();
  const url = q ? path + '?' + q : path;
  const had = kept.get(url);
  const { r, answer } = await ask('GET', url, undefined, had ? { 'If-None-Match': had.tag } : {});
  if (!answer) return had.answer;
  const tag = r.headers.get('ETag');
  if (kept.size > 500) kept.clear();
  if (tag) kept.set(url, { tag, answer });
  return answer;
}

/** send acts; the key makes its repetition harmless. */
export const send = async (method, path, body, key) => (await ask(method, path, body, key ? { 'Idempotency-Key': key } : {})).answer;

/** newKey names an act. randomUUID would want a secure context. */
export const newKey = () => 'page-' + [...crypto.getRandomValues(new Uint8Array(12))].map((b) => b.toString(16).padStart(2, '0')).join('');

/** lines reads pages of sessions until there are enough. */
export async function lines(query, enough) {
  const all = [];
  let cursor = '';
  do {
    const page = await get('/api/sessions', { ...query, cursor });
    all.push(...page.sessions);
    cursor = page.next;
  } while (cursor && all.length < enough);
  return { all, more: cursor !== '' };
}

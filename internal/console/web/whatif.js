// What if: a sign-out, a revocation, a changed policy or a date, decided for today's
// sessions by the same function that decides when it happens. Nothing is written.

import { h, icon, facts, field, choice, mark } from './dom.js';
import { get, send, now, Problem } from './api.js';
import { fates } from './revoke.js';
import * as p from './policy.js';
import * as w from './words.js';

export const title = 'What if';

const kinds = (admin) => [['signOut', admin ? 'A user signs out' : 'I sign out'], ['at', 'Time passes until a date'], ['policy', 'The policy had been different'], admin && ['revoke', 'An administrator revokes']].filter(Boolean);

/** change is the question as the API takes it; null: none is asked yet. */
function change(query, me) {
  switch (query.kind) {
    case 'signOut': return query.user || me.user ? { signOut: { user: query.user || me.user } } : null;
    case 'revoke': return query.session ? { revoke: { session: query.session } } : query.user ? { revoke: { user: query.user } } : query.engine || query.mode ? { revoke: { selector: { engine: query.engine || undefined, mode: query.mode || undefined } } } : null;
    case 'at': return query.at ? { at: new Date(query.at).toISOString() } : null;
    case 'policy': { const c = p.changeOf(query); return Object.keys(c).length ? { policy: c } : null; }
  }
  return null;
}

export async function load(arg, query, me) {
  const data = { policy: await get('/api/policy'), asked: null, answer: null, wrong: null };
  try {
    data.asked = change(query, me);
    if (data.asked) data.answer = await send('POST', '/api/whatif', data.asked);
  } catch (e) {
    if (e instanceof RangeError) e = new Problem({ status: 400, field: 'at', detail: 'the date cannot be read', allowed: 'a date and a time' });
    if (!(e instanceof Problem) || ![400, 404].includes(e.status)) throw e;
    data.wrong = e;
  }
  return data;
}

export function draw(data, arg, query, again, me) {
  const admin = me.role === 'administrator', kind = kinds(admin).some(([k]) => k === query.kind) ? query.kind : 'signOut';
  return [
    h('h1', { tabindex: '-1' }, 'What if'),
    h('p', { class: 'quiet', 'data-key': 'lead' }, 'Decided for today’s sessions by the function that decides in earnest. Nothing is written, nobody is told.'),
    form(data, kind, query, admin),
    data.answer && result(data.answer, kind),
  ];
}

function form(data, kind, query, admin) {
  const wrong = (name) => data.wrong && (data.wrong.field ?? '').endsWith(name) ? 'It must be ' + (data.wrong.allowed ?? data.wrong.detail) + '.' : null;
  const value = (n) => query[n] ?? '';
  const user = (help) => field('User', h('input', { id: 'user', name: 'user', value: value('user'), autocomplete: 'off', required: !help }), help, wrong('user'));
  const asks = {
    signOut: () => (admin ? user() : null),
    revoke: () => [user('All of one user’s sessions; or choose below.'), field('Engine', choice('engine', value('engine'), [['', 'any'], ...Object.entries(w.engines)])), field('Mode', choice('mode', value('mode'), [['', 'any'], ...w.modeNames.map((m) => [m, m])]))],
    at: () => field('Until', h('input', { id: 'at', name: 'at', type: 'datetime-local', required: true, value: value('at') || local(new Date(now().getTime() + 864e5)) }), 'Now it is ' + w.moment(now().toISOString()) + '.', wrong('at')),
    policy: () => p.fields(data.policy, query, wrong),
  };
  const go = (e) => {
    e.preventDefault();
    const q = new URLSearchParams([...new FormData(e.currentTarget)].filter(([, v]) => v !== ''));
    const to = '#/whatif?' + q;
    if (to === location.hash) dispatchEvent(new Event('hashchange')); // asked once more
    else location.hash = to;
  };
  return h('form', { class: 'panel', 'data-keep': JSON.stringify([query, data.wrong?.field]), onsubmit: go, 'aria-label': 'The change' },
    h('div', { class: 'fields' }, field('What happens', choice('kind', kind, kinds(admin), { onchange: (e) => { location.hash = '#/whatif?kind=' + e.target.value; } })), asks[kind]()),
    data.wrong && !data.wrong.field && h('p', { class: 'wrong', role: 'alert' }, icon('alert'), data.wrong.detail),
    h('p', { class: 'acts' }, h('button', { class: 'main' }, 'Show what would happen')));
}

const local = (t) => new Date(t.getTime() - t.getTimezoneOffset() * 6e4).toISOString().slice(0, 16);

// A changed policy ends and changes nothing that runs: what it says of each
// session is what a new one like it would be.
function result(r, kind) {
  const c = r.counts, ends = (c.ends ?? 0) + (c.closes ?? 0), on = (c['goes-on'] ?? 0) + (c['goes-on-alert'] ?? 0), policy = kind === 'policy';
  return h('section', { 'data-key': 'result', 'aria-labelledby': 'result' }, h('h2', { id: 'result' }, policy ? 'New sessions like these' : 'Then'),
    policy ? h('p', { class: 'lead', role: 'status' }, w.plural(on, 'session') + ' would go on as opened: a changed policy holds for new ones. Beside each stands what a new one like it would be.') : h('p', { class: 'lead', role: 'status' }, w.plain(r.text)),
    !policy && facts('totals', [
      ['Would end', mark(ends ? 'bad' : 'quiet', 'no', w.number(ends)), r.savesAtMost && ends ? ['saves at most ', w.sum(r.savesAtMost)] : ''],
      ['Would change', mark(c.changes ? 'warn' : 'quiet', 'change', w.number(c.changes ?? 0))],
      ['Would go on', mark('good', 'yes', w.number(on)), c['goes-on-alert'] ? w.number(c['goes-on-alert']) + ' with an alert' : ''],
      ends ? ['Last one asked to stop in', 'about ' + w.lasting(r.etaSeconds * 1000)] : null]),
    r.sessions.length ? fates(r.sessions, r.leftOut, 'What would become of each session', true) : h('div', { class: 'panel empty' }, h('p', {}, h('strong', {}, 'No live session is concerned.'))));
}

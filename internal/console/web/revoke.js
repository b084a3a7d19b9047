// Revoke: whom, the preview, the confirmation; then the drain until every run is
// seen stopped.

import { h, icon, mark, table, facts, field, choice, patch } from './dom.js';
import { get, send, newKey, now, Problem } from './api.js';
import { awsSession } from './session.js';
import * as w from './words.js';

export const title = 'Revoke';
const selectors = ['user', 'engine', 'mode', 'endpoint', 'dueWithin'];

let key = newKey(); // of the act that is being prepared
let stale = '';     // why the preview had to be made anew

/** target is what the address names; null: nothing yet. */
function target(query) {
  if (query.session) return { session: query.session };
  const picked = Object.fromEntries(selectors.filter((n) => query[n]).map((n) => [n, query[n]]));
  const names = Object.keys(picked);
  if (!names.length) return null;
  return names.length === 1 && picked.user ? { user: picked.user } : { selector: picked };
}

export async function load(arg, query) {
  key = newKey();
  const t = target(query);
  return t && { preview: await send('POST', '/api/revocations', { target: t, preview: true }), at: now() };
}

const words = (t) => (t.session ? 'one session' : t.user ? 'all sessions of ' + t.user : 'all sessions with ' + Object.entries(t.selector).map(([n, v]) => ({ user: 'user ', engine: 'engine ', mode: 'mode ', endpoint: 'endpoint ', dueWithin: 'an end within ' }[n] + (w.engines[v] ?? v))).join(', '));

export function draw(data, arg, query, again) {
  if (!data) return [h('h1', { tabindex: '-1' }, 'Revoke'), pick(query)];
  const p = data.preview, t = target(query), ends = (p.counts.ends ?? 0) + (p.counts.closes ?? 0);
  return [
    h('h1', { tabindex: '-1' }, 'Revoke ' + words(t)),
    stale && h('p', { class: 'strip bad', role: 'alert', 'data-key': 'stale' }, icon('alert'), ' ' + stale),
    h('p', { 'data-key': 'text' }, ends ? 'This is a preview of ' + w.moment(data.at.toISOString(), true) + '. Nothing has been done yet.' : 'Nothing would be stopped: no live session fits, or all are being stopped already.'),
    facts('totals', [
      ['Would be stopped', w.plural(ends, 'run')],
      p.savesAtMost && ['Saves at most', w.sum(p.savesAtMost), 'until the runs would have ended by themselves'],
      ['Last one asked to stop in', p.etaSeconds ? 'about ' + w.lasting(p.etaSeconds * 1000) : 'a moment', 'at the rate that the engine allows; seen stopped within 15 min'],
      p.counts.ending ? ['Being stopped already', w.number(p.counts.ending)] : null,
    ]),
    ends > 0 && confirm(p, t, ends, again),
    p.sessions.length > 0 && fates(p.sessions, p.leftOut, 'Sessions that the revocation is about'),
    p.endpoints.length > 1 && loads(p.endpoints),
    aws(p.sessions),
    t.user && h('p', { class: 'quiet', 'data-key': 'lock' }, 'A revocation ends what runs and what is just being started. It does not keep ', h('a', { href: '#/user/' + encodeURIComponent(t.user) }, t.user), ' from starting again: a lock does.'),
  ];
}

function confirm(p, t, ends, again) {
  const said = h('div', { role: 'alert' });
  const go = h('button', { class: 'main bad' }, 'Revoke ' + w.plural(ends, 'session'));
  return h('form', { class: 'panel', 'data-key': 'confirm', 'data-keep': 'confirm ' + p.plan, 'aria-label': 'Confirm', onsubmit: async (e) => {
    e.preventDefault();
    go.disabled = true;
    try {
      const done = await send('POST', '/api/revocations', { target: t, plan: p.plan, why: new FormData(e.currentTarget).get('why') }, key);
      stale = '';
      location.hash = '#/revocation/' + encodeURIComponent(done.id);
    } catch (err) {
      if (!(err instanceof Problem)) throw err;
      if (err.status === 409) { stale = 'Meanwhile other sessions would be stopped than were shown. This is a new preview: look at it, then confirm.'; again(true); return; }
      patch(said, h('p', { class: 'wrong' }, icon('alert'), err.detail + (err.remedy ? '. ' + err.remedy : '')));
    } finally {
      go.disabled = false;
    }
  } },
  field('Why (for the record)', h('input', { id: 'why', name: 'why', maxlength: 200, autocomplete: 'off' }), 'Kept with who and when in the history of each session.'), said,
  h('p', { class: 'acts' }, go, h('a', { class: 'button', href: '#/now' }, 'Cancel')));
}

function pick(query) {
  return h('form', { class: 'panel narrow', 'data-keep': 'pick', 'aria-label': 'Whose sessions', onsubmit: (e) => {
    e.preventDefault();
    const q = new URLSearchParams([...new FormData(e.currentTarget)].filter(([, v]) => v));
    const none = e.currentTarget.querySelector('.wrong');
    if (q.size) location.hash = '#/revoke?' + q;
    else none.textContent = 'Choose at least one of them: a revocation of everything must be meant.';
  } },
  h('p', {}, 'Whose sessions? All that you choose must hold. You see a preview first.'),
  field('User', h('input', { id: 'user', name: 'user', value: query.user ?? '', autocomplete: 'off' })),
  field('Engine', choice('engine', '', [['', 'any'], ...Object.entries(w.engines)])),
  field('Mode', choice('mode', '', [['', 'any'], ...w.modeNames.map((m) => [m, m])])),
  field('Ends within', h('input', { id: 'dueWithin', name: 'dueWithin', autocomplete: 'off', size: 8 }), 'Such as 90m, 12h or 2d.'),
  h('p', { class: 'wrong', role: 'alert' }), h('p', { class: 'acts' }, h('button', { class: 'main' }, 'Preview')));
}

/** fates is a table of what would become of sessions. */
export function fates(list, leftOut, caption, changes) {
  return h('section', { 'data-key': 'fates' }, table(caption, [
    { head: 'Run', class: 'grow', cell: (f) => [h('a', { class: 'code', href: '#/session/' + encodeURIComponent(f.id) }, w.runName(f)), h('span', { class: 'note' }, w.engine(f))] },
    { head: 'User', cell: (f) => h('span', { class: 'nowrap' }, f.user) },
    { head: 'Mode', cell: (f) => (f.after.mode === f.mode || f.outcome === 'goes-on' ? w.mode(f.mode) : [w.mode(f.mode), h('span', { class: 'note' }, 'then ', f.after.mode)]) },
    changes && { head: 'End', cell: (f) => [f.deadline ? w.time(f.deadline) : 'no limit', f.outcome === 'changes' && f.after.deadline !== f.deadline ? h('span', { class: 'note' }, 'then ', f.after.deadline ? w.time(f.after.deadline) : 'no limit') : null] },
    { head: 'Outcome', cell: (f) => w.outcome(f.outcome) },
    { head: 'Why', class: 'why', cell: (f) => w.plain(f.why) },
  ].filter(Boolean), list, (f) => f.id), leftOut > 0 && h('p', { class: 'quiet' }, 'And ' + w.number(leftOut) + ' more, which are counted above.'));
}

const loads = (list) => h('section', { 'data-key': 'loads', 'aria-labelledby': 'loads' }, h('h2', { id: 'loads' }, 'By engine'), table('Stops by endpoint', [
  { head: 'Endpoint', class: 'grow', cell: (l) => h('span', { class: 'code' }, l.endpoint) }, { head: 'To stop', class: 'num', cell: (l) => w.number(l.ends) },
  { head: 'Ahead of them', class: 'num', cell: (l) => w.number(l.ahead) }, { head: 'Last asked in', class: 'num', cell: (l) => w.lasting(l.etaSeconds * 1000) }], list, (l) => l.endpoint));

/** aws says where AWS's own sessions must still be ended (S8.1). */
export function aws(list) {
  const own = list.filter((f) => f.awsSession);
  return own.length > 0 && h('details', { 'data-key': 'aws', class: 'panel' }, h('summary', {}, 'AWS’s own sessions of ' + w.plural(own.length, 'run') + ' must be ended by hand'),
    h('p', {}, 'Nightshift stops the runs. It cannot end AWS’s own sessions: AWS has no API for it.'),
    h('ul', {}, own.map((f) => h('li', { 'data-key': f.id }, h('strong', {}, f.user), awsSession(f.awsSession)))));
}

/** progress is how far a revocation is. */
export const progress = {
  title: 'Revocation',
  period: (r) => (r?.progress.done ? 0 : 1500),
  load: (id) => get('/api/revocations/' + encodeURIComponent(id)),
  tell: (before, after) => (after.progress.done && !before.progress.done ? 'All are seen stopped' : after.progress.ended !== before.progress.ended && after.progress.ended + ' of ' + after.progress.total + ' seen stopped'),
  draw(r) {
    const p = r.progress, since = Date.parse(r.at);
    return [
      h('h1', { tabindex: '-1' }, 'Revocation of ' + words(r.target)),
      h('p', { class: 'sub', 'data-key': 'sub' }, p.done ? mark('good', 'yes', 'done: all are seen stopped') : mark('warn', 'ending', 'under way'), h('span', {}, 'asked by ' + r.by + ' at ', w.time(r.at, true)), r.why && h('span', {}, '“' + r.why + '”')),
      h('div', { class: 'panel', 'data-key': 'bar' },
        h('label', { class: 'bar big' }, p.ended + ' of ' + w.plural(p.total, 'run') + ' seen stopped', h('progress', { max: Math.max(1, p.total), value: p.total ? p.ended : 1 })),
        facts('totals', [
          ['Not asked yet', w.number(p.waiting), p.waiting ? 'the last in about ' + w.lasting(p.etaSeconds * 1000) : ''], ['Asked, still running', w.number(p.asked)], ['Seen stopped', w.number(p.ended)],
          !p.done && ['Time left', w.lasting(since + w.promise - now()), 'of the promised 15 min'],
        ]),
        p.done && h('p', { class: 'acts' }, h('a', { class: 'button', href: '#/proof' }, 'See the proof'), h('a', { class: 'button', href: '#/now' }, 'Back to Now'))),
      r.sessions.length > 0 && h('section', { 'data-key': 'sessions' }, table('Sessions of this revocation', [
        { head: 'Run', class: 'grow', cell: (f) => [h('a', { class: 'code', href: '#/session/' + encodeURIComponent(f.id) }, w.runName(f)), h('span', { class: 'note' }, w.engine(f))] },
        { head: 'User', cell: (f) => f.user }, { head: 'State', cell: (f) => w.status(f.status) }, { head: 'Why', class: 'why', cell: (f) => f.why }], r.sessions, (f) => f.id)),
      aws(r.sessions),
    ];
  },
};

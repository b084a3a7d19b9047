// User: what is known of one user, and the lock that keeps them from starting again
// after a revocation.

import { h, icon, mark, table, facts, field, patch } from './dom.js';
import { get, send, newKey, Problem } from './api.js';
import * as w from './words.js';

export const title = (name) => 'User ' + name;
export const period = 3000;
export const load = (name) => get('/api/users/' + encodeURIComponent(name));

export function draw(u, name, query, again, me) {
  const admin = me.role === 'administrator', path = '/api/users/' + encodeURIComponent(name) + '/lock';
  return [
    h('h1', { tabindex: '-1' }, 'User ' + u.user),
    facts('totals', [
      ['Live sessions', w.number(u.live)],
      ['Starts', u.lock ? mark('bad', 'lock', 'refused') : mark('good', 'yes', 'allowed'), u.lock && ['until ', w.time(u.lock.until), ', by ' + u.lock.by + ': ' + u.lock.why]]]),
    admin && h('p', { class: 'acts', 'data-key': 'acts' }, h('a', { class: 'button', href: '#/now?user=' + encodeURIComponent(name) }, 'Their sessions'), h('a', { class: 'button bad', href: '#/revoke?user=' + encodeURIComponent(name) }, 'Revoke all…'), h('a', { class: 'button', href: '#/whatif?kind=signOut&user=' + encodeURIComponent(name) }, 'What if they sign out?')),
    admin && lock(u, path, again),
    h('section', { 'data-key': 'facts', 'aria-labelledby': 'facts' }, h('h2', { id: 'facts' }, 'What happened'), u.facts.length ? table('What happened, newest first', [
      { head: 'When', cell: (f) => w.time(f.at, true) }, { head: 'What', class: 'grow', cell: (f) => f.text }, { head: 'Who', cell: (f) => f.by ?? '' }, { head: 'Evidence', cell: (f) => h('code', {}, f.evidence ?? '') }], u.facts)
      : h('p', { class: 'quiet' }, 'Nothing is known: no sign-out, no revocation, no lock.')),
  ];
}

function lock(u, path, again) {
  const said = h('div', { role: 'alert' }), key = newKey();
  const act = (work) => async (e) => {
    e.preventDefault();
    try { await work(e); again(true); } catch (err) {
      if (!(err instanceof Problem)) throw err;
      patch(said, h('p', { class: 'wrong' }, icon('alert'), err.detail));
    }
  };
  if (u.lock) return h('form', { class: 'panel', 'data-key': 'lock', 'data-keep': 'unlock ' + u.lock.until, 'aria-label': 'Lock', onsubmit: act(() => send('DELETE', path, undefined, key)) }, h('h2', {}, 'Lock'), said, h('p', { class: 'acts' }, h('button', {}, 'Let them start again')));
  return h('form', { class: 'panel', 'data-key': 'lock', 'data-keep': 'lock', 'aria-label': 'Lock', onsubmit: act((e) => { const f = new FormData(e.currentTarget); return send('PUT', path, { for: f.get('for'), why: f.get('why') }, key); }) },
    h('h2', {}, 'Lock'), h('p', {}, 'A lock refuses new starts. What runs goes on.'),
    h('div', { class: 'fields' }, field('For', h('input', { id: 'for', name: 'for', value: '24h', required: true, autocomplete: 'off', size: 8 }), 'Such as 90m, 24h or 7d.'),
      field('Why', h('input', { id: 'why', name: 'why', maxlength: 200, required: true, autocomplete: 'off' }), 'Told to whoever is refused a start.')), said,
    h('p', { class: 'acts' }, h('button', {}, 'Lock')));
}

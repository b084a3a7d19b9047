// Notices: what users and administrators were told, and when.

import { h, mark, table } from './dom.js';
import { get, now } from './api.js';
import * as w from './words.js';

export const title = 'Notices';
export const period = 15000;

const tones = { notice: ['plain', 'clock', 'to the user'], alert: ['warn', 'alert', 'alert'], page: ['bad', 'alert', 'page'] };

let pages = 1;

export async function load() {
  const all = [];
  let cursor = '';
  for (let i = 0; i < pages; i++) {
    const page = await get('/api/notices', { cursor });
    all.push(...page.notices);
    cursor = page.next;
    if (!cursor) break;
  }
  return { all: all.sort((a, b) => (a.at < b.at ? 1 : -1)), more: Boolean(cursor) };
}

export const tell = (before, after) => after.all.length > before.all.length && w.plural(after.all.length - before.all.length, 'new notice');

export function draw(data, arg, query, again, me) {
  const admin = me.role === 'administrator';
  return [
    h('h1', { tabindex: '-1' }, title),
    h('p', { class: 'lead', 'data-key': 'lead' }, admin ? 'What users and administrators were told of the newest sessions, newest first. Each is told once.' : 'What you were told of your newest sessions, newest first. Each is told once.'),
    data.all.length ? table('Notices, newest first', [
      { head: 'When', cell: (n) => [w.time(n.at), h('span', { class: 'note' }, w.lasting(now() - new Date(n.at)) + ' ago')] },
      { head: 'Kind', cell: (n) => mark(...(tones[n.kind] ?? ['plain', 'unknown', n.kind])) },
      { head: 'What was said', class: 'grow', cell: (n) => w.plain(n.text) },
      admin && { head: 'User', cell: (n) => h('a', { class: 'nowrap', href: '#/user/' + encodeURIComponent(n.user) }, n.user) },
      { head: 'Session', cell: (n) => h('a', { class: 'code', href: '#/session/' + encodeURIComponent(n.session) }, n.session) },
    ].filter(Boolean), data.all, (n) => n.id) : h('div', { class: 'panel empty', 'data-key': 'none' }, h('p', {}, h('strong', {}, 'Nobody was told anything yet.')), h('p', { class: 'quiet' }, 'Users are told 24 hours, 1 hour and 15 minutes before an end, and at an end, why.')),
    data.more && h('p', { class: 'acts', 'data-key': 'more' }, h('button', { type: 'button', onclick: () => { pages++; again(true); } }, 'Show older sessions’ notices')),
  ];
}

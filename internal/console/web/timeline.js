// Timeline: sessions as bars over a day to a week, by user; sign-outs and deadlines
// as marks. What a bar means is told on hover and on focus alike, and as a table.

import { h, s, table, field, choice } from './dom.js';
import { get, lines, now } from './api.js';
import * as w from './words.js';

export const title = 'Timeline';
export const period = 5000;

const hour = 36e5, spans = [['6h', '6 hours', 6 * hour], ['1d', '1 day', 24 * hour], ['3d', '3 days', 72 * hour], ['7d', '1 week', 168 * hour]];
const most = 300, usersMost = 30;

/** range is what is shown: from and to in milliseconds. A fifth lies ahead. */
function range(query) {
  const span = (spans.find(([k]) => k === query.span) ?? spans[1])[2];
  const to = Date.parse(query.to) || Math.ceil((now().getTime() + span / 5) / (span / 24)) * (span / 24);
  return { from: to - span, to, span };
}

export async function load(arg, query, me) {
  const r = range(query), admin = me.role === 'administrator';
  const { all, more } = await lines({ status: 'all', user: query.user }, most);
  const shown = all.filter((l) => Date.parse(l.openedAt) < r.to && (!l.confirmed || Date.parse(l.confirmed) >= r.from));
  const names = [...new Set(shown.map((l) => l.user))].sort();
  const known = await Promise.all(names.slice(0, usersMost).map((n) => get('/api/users/' + encodeURIComponent(n))));
  return { users: names.slice(0, usersMost).map((name, i) => ({ name, sessions: shown.filter((l) => l.user === name).sort((a, b) => (a.openedAt < b.openedAt ? -1 : 1)), marks: marksOf(known[i], r) })), cut: more || names.length > usersMost, admin };
}

const leaving = { 'sign-out': 'signed out', 'user-disabled': 'was disabled', 'user-deleted': 'was deleted', 'access-removed': 'lost access', 'user-locked': 'was locked' };
const marksOf = (u, r) => u.facts.filter((f) => leaving[f.kind] && Date.parse(f.at) >= r.from && Date.parse(f.at) <= r.to).map((f) => ({ at: Date.parse(f.at), text: u.user + ' ' + leaving[f.kind] + ' at ' + w.moment(f.at) }));

export function draw(data, arg, query) {
  const r = range(query), wide = Math.max(300, document.getElementById('main').clientWidth - 2);
  const go = (more) => '#/timeline?' + new URLSearchParams(Object.entries({ ...query, ...more }).filter(([, v]) => v));
  return [
    h('h1', { tabindex: '-1' }, 'Timeline'),
    h('form', { class: 'filters', 'aria-label': 'Filters', 'data-keep': JSON.stringify(query), onsubmit: (e) => e.preventDefault(), onchange: (e) => { location.hash = go(Object.fromEntries(new FormData(e.currentTarget))); } },
      data.admin && field('User', h('input', { id: 'f-user', name: 'user', value: query.user ?? '', autocomplete: 'off', size: 12 })),
      field('Shown', choice('span', query.span ?? '1d', spans.map(([k, text]) => [k, text])))),
    h('p', { class: 'acts', 'data-key': 'acts' },
      h('a', { class: 'button', href: go({ to: new Date(r.to - r.span / 2).toISOString() }) }, 'Earlier'), h('a', { class: 'button', href: go({ to: new Date(r.to + r.span / 2).toISOString() }) }, 'Later'),
      query.to && h('a', { class: 'button', href: go({ to: '' }) }, 'Back to now'), h('span', { class: 'quiet' }, w.moment(new Date(r.from).toISOString()) + ' to ' + w.moment(new Date(r.to).toISOString()))),
    data.users.length ? [chart(data.users, r, wide), legend(), h('p', { id: 'told', class: 'told', 'data-keep': 'told' }, 'Point at a bar or mark, or move to it with the Tab key, to read what it is.'), asTable(data.users)]
      : h('div', { class: 'panel empty' }, h('p', {}, h('strong', {}, 'No session in this time.')), h('p', { class: 'quiet' }, 'Choose a longer time, or go earlier.')),
    data.cut && h('p', { class: 'quiet', 'data-key': 'cut' }, 'There are more sessions than can be shown here: choose a user.'),
  ];
}

const legend = () => h('ul', { class: 'legend', 'aria-label': 'Legend' },
  [['background', 'background'], ['interactive', 'interactive'], ['role', 'role'], ['unknown', 'mode unknown']].map(([cls, text]) => h('li', {}, s('svg', { width: 28, height: 12, 'aria-hidden': 'true', class: 'chart' }, s('rect', { class: 'run ' + cls, x: 1, y: 1, width: 26, height: 10, rx: 2 })), text)),
  h('li', {}, s('svg', { width: 28, height: 12, 'aria-hidden': 'true', class: 'chart' }, s('rect', { class: 'ahead', x: 1, y: 1, width: 26, height: 10, rx: 2 })), 'may go on'),
  h('li', {}, s('svg', { width: 14, height: 14, 'aria-hidden': 'true', class: 'chart' }, s('path', { class: 'deadline', d: diamond(7, 7) })), 'ends at the latest'),
  h('li', {}, s('svg', { width: 14, height: 14, 'aria-hidden': 'true', class: 'chart' }, s('path', { class: 'out', d: flag(7, 1, 13) })), 'signed out'),
  h('li', {}, s('svg', { width: 14, height: 14, 'aria-hidden': 'true', class: 'chart' }, s('path', { class: 'stop', d: cross(7, 7) })), 'stopped'));

const diamond = (x, y) => `M${x} ${y - 5}l5 5-5 5-5-5z`;
const flag = (x, top, bottom) => `M${x} ${bottom}V${top}l6 3.5-6 3.5`;
const cross = (x, y) => `M${x - 4} ${y - 4}l8 8M${x + 4} ${y - 4}l-8 8`;

/** steps are where the axis has lines: as many as there is room for. */
function steps(r, room) {
  const each = [hour, 3 * hour, 6 * hour, 12 * hour, 24 * hour, 48 * hour].find((st) => (r.span / st) * 64 <= room) ?? 48 * hour;
  const zone = now().getTimezoneOffset() * 6e4, list = [];
  for (let t = Math.ceil((r.from - zone) / each) * each + zone; t < r.to; t += each) list.push(t);
  return { list, days: each >= 24 * hour };
}

function explain(l) {
  const end = l.status === 'ENDED' ? 'ended ' + (l.confirmed ? w.moment(l.confirmed) : '') + ', because ' + l.causeText : l.status === 'ENDING' ? 'is being stopped, because ' + l.causeText
    : l.deadline ? 'ends ' + w.moment(l.deadline) + ' at the latest, by its ' + (w.sources[l.deadlineSource] ?? l.deadlineSource) : 'has no known end';
  const out = { yes: '; would go on after a sign-out', no: '; would end at a sign-out', unknown: '; after a sign-out it would go on, with an alert' }[l.survivesSignOut] ?? '';
  return `${l.user}: ${w.engine(l)}, ${l.mode}. Since ${w.moment(l.openedAt)}; ${end}${out}.`;
}

const tellIn = (text) => { const at = document.getElementById('told'); if (at) at.textContent = text; };
const told = (text) => ({ onpointerenter: () => tellIn(text), onfocus: () => tellIn(text) });

function chart(users, r, wide) {
  const labels = wide > 640 ? 130 : 0, room = wide - labels - 12, lane = 20, head = labels ? 10 : 26;
  const x = (t) => Math.round((labels + (Math.min(Math.max(t, r.from), r.to) - r.from) / r.span * room) * 10) / 10;
  const { list, days } = steps(r, room);
  let y = 26;
  const groups = users.map((u) => {
    const top = y;
    y += head + u.sessions.length * lane + 8;
    const bottom = y - 4;
    return s('g', { 'data-key': u.name },
      s('line', { class: 'rule', x1: 0, x2: wide, y1: top - 2, y2: top - 2 }),
      s('text', { class: 'name', x: 8, y: labels ? top + 22 : top + 15 }, u.name),
      u.sessions.map((l, i) => bar(l, top + head + i * lane, x, r)),
      u.marks.map((m) => s('g', { class: 'point', tabindex: 0, role: 'img', 'aria-label': m.text, ...told(m.text) },
        s('rect', { class: 'touch', x: x(m.at) - 6, y: top, width: 16, height: bottom - top }), s('path', { class: 'out', d: flag(x(m.at), top + 1, bottom) }))));
  });
  const here = now().getTime();
  return h('div', { class: 'scroll', 'data-key': 'chart' }, s('svg', { class: 'chart', width: wide, height: y + 4, role: 'group', 'aria-label': 'Sessions over time' },
    list.map((t) => [s('line', { class: 'grid', x1: x(t), x2: x(t), y1: 20, y2: y }), x(t) < wide - 40 && x(t) > labels + 26 && s('text', { class: 'tick', x: x(t), y: 13 }, days ? w.dayOf(new Date(t)) : new Date(t).getHours() === 0 ? w.dayOf(new Date(t)) : w.hourOf(new Date(t)))]),
    groups, here > r.from && here < r.to && s('line', { class: 'here', x1: x(here), x2: x(here), y1: 18, y2: y })));
}

function bar(l, y, x, r) {
  const from = x(Date.parse(l.openedAt)), to = x(l.confirmed ? Date.parse(l.confirmed) : now().getTime());
  const due = l.deadline && l.status === 'ACTIVE' ? Date.parse(l.deadline) : 0, ahead = l.status === 'ACTIVE' ? x(due || r.to) : to;
  const text = explain(l);
  return s('a', { class: 'point', href: '#/session/' + encodeURIComponent(l.id), 'aria-label': text, ...told(text) },
    ahead > to && s('rect', { class: 'ahead', x: to, y, width: ahead - to, height: 14, rx: 2 }),
    s('rect', { class: 'run ' + l.mode, x: from, y, width: Math.max(3, to - from), height: 14, rx: 2 }),
    due > r.from && due < r.to && s('path', { class: 'deadline', d: diamond(x(due), y + 7) }),
    l.status === 'ENDED' && l.asked && s('path', { class: 'stop', d: cross(to, y + 7) }));
}

const asTable = (users) => h('details', { 'data-key': 'table' }, h('summary', {}, 'The same as a table'), table('Sessions over time', [
  { head: 'User', cell: (l) => l.user }, { head: 'Run', class: 'grow', cell: (l) => h('a', { class: 'code', href: '#/session/' + encodeURIComponent(l.id) }, w.runName(l)) }, { head: 'Mode', cell: (l) => w.mode(l.mode) },
  { head: 'Since', cell: (l) => w.time(l.openedAt) }, { head: 'Until', cell: (l) => (l.confirmed ? [w.time(l.confirmed), h('span', { class: 'note' }, l.causeText)] : l.deadline ? [w.time(l.deadline), h('span', { class: 'note' }, 'at the latest')] : 'no limit') }, { head: 'State', cell: (l) => w.status(l.status) }],
users.flatMap((u) => u.sessions), (l) => l.id),
users.some((u) => u.marks.length) && h('ul', {}, users.flatMap((u) => u.marks.map((m) => h('li', {}, m.text)))));

// Costs: what sessions cost by user, department and cost center, what stops saved,
// and the forgotten ones first: they are what nobody would miss.

import { h, icon, table, facts, field, choice } from './dom.js';
import { get, now } from './api.js';
import * as w from './words.js';
import { end } from './now.js';

export const title = (arg, query, me) => (me && me.role !== 'administrator' ? 'My costs' : 'Costs');
export const period = 15000;
// Without a time the API counts the last 30 days; others are cut to the minute, so
// that asking again asks the same.
const days = { '1': 'the last day', '7': 'the last week', '': 'the last 30 days', '90': 'the last 90 days' };
const from = (query) => (query.days in days && query.days ? new Date(Math.floor((now().getTime() - query.days * 864e5) / 6e4) * 6e4).toISOString() : '');
export const load = (arg, query) => get('/api/costs', { from: from(query) });

const groups = { user: ['User', 'byUser'], department: ['Department', 'byDepartment'], costCenter: ['Cost center', 'byCostCenter'] };

export function draw(c, arg, query, again, me) {
  const admin = me.role === 'administrator';
  return [
    h('h1', { tabindex: '-1' }, title(arg, query, me)),
    h('p', { class: 'lead', 'data-key': 'lead' }, 'By on-demand list prices in US dollars, without storage, traffic, taxes and discounts. Each session says which prices it was counted by.'),
    filters(query, admin),
    !c.complete && h('p', { class: 'strip bad', 'data-key': 'partial' }, icon('alert'), ' There are too many records to read further back at once: what was recorded earlier, and has ended, is not in the sums.'),
    h('p', { class: 'quiet', 'data-key': 'counted' }, 'Counted are the sessions that live, and those recorded since ', w.time(c.from), '.'),
    facts('totals', [['Sessions', w.number(c.total.sessions), 'ended ones too'], ['So far', w.sum(c.total.soFar)], ['Until their ends', w.sum(c.total.toDeadline), 'if nothing ends them before'], ['Saved by stops, at most', w.sum(c.total.savedAtMost)]]),
    c.forgotten.length > 0 && h('section', { 'data-key': 'forgotten', 'aria-labelledby': 'forgotten' }, h('h2', { id: 'forgotten' }, 'Forgotten'),
      h('p', { class: 'quiet' }, 'Still running a day and more after their users left; the dearest first.'),
      table('Forgotten sessions', [
        { head: 'Run', class: 'grow', cell: (l) => [h('a', { class: 'code', href: '#/session/' + encodeURIComponent(l.id) }, w.runName(l)), h('span', { class: 'note' }, w.engine(l))] },
        { head: 'User', cell: (l) => l.user }, { head: 'So far', class: 'num', cell: (l) => w.amount(l.cost?.soFar) }, { head: 'Ends at the latest', cell: end }], c.forgotten, (l) => l.id)),
    c.total.sessions ? by(c, query, admin) : h('div', { class: 'panel empty', 'data-key': 'none' }, h('p', {}, h('strong', {}, 'No session has cost anything yet.'))),
  ];
}

const kindOf = (query, admin) => (groups[query.by] && admin ? query.by : admin ? 'user' : 'costCenter');

function filters(query, admin) {
  const kind = kindOf(query, admin);
  return h('form', { class: 'filters', 'aria-label': 'What is added up', 'data-keep': kind + query.days, onsubmit: (e) => e.preventDefault(), onchange: (e) => { location.hash = '#/costs?' + new URLSearchParams([...new FormData(e.currentTarget)].filter(([, v]) => v)); } },
    field('Recorded in', choice('c-days', days[query.days] ? query.days : '', Object.entries(days).sort(([a], [b]) => (a || 30) - (b || 30)), { name: 'days' })),
    admin && field('Added up by', choice('c-by', kind, Object.entries(groups).map(([k, [text]]) => [k, text.toLowerCase()]), { name: 'by' })));
}

function by(c, query, admin) {
  const kind = kindOf(query, admin), [head, list] = groups[kind];
  return h('section', { 'data-key': 'by', 'aria-labelledby': 'by' }, h('h2', { id: 'by' }, 'By ' + head.toLowerCase()),
    table('Costs by ' + head.toLowerCase(), [
      { head, class: 'grow', cell: (g) => (g.key ? (kind === 'user' ? h('a', { href: '#/now?user=' + encodeURIComponent(g.key) }, g.key) : g.key) : h('span', { class: 'quiet' }, 'none given')) },
      { head: 'Sessions', class: 'num', cell: (g) => w.number(g.sessions) },
      { head: 'So far', class: 'num', cell: (g) => w.sum(g.soFar) }, { head: 'Until their ends', class: 'num', cell: (g) => w.sum(g.toDeadline) }, { head: 'Saved at most', class: 'num', cell: (g) => w.sum(g.savedAtMost) }], c[list], (g) => g.key || 'none'));
}

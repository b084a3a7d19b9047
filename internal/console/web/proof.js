// Proof: how many stops, how many on time, the worst, and whether the records that
// say so are whole.

import { h, s, mark, table, facts, field, choice } from './dom.js';
import { get, now } from './api.js';
import * as w from './words.js';

export const title = 'Proof';
export const period = 15000;

const spans = [['1d', 'the last day', 1], ['7d', 'the last week', 7], ['30d', 'the last 30 days', 30], ['all', 'all time', 0], ['own', 'from … to …', -1]];

// The times are cut to the minute, so that asking again asks the same.
function times(query) {
  if (query.span === 'own') return { from: day(query.from), to: day(query.to) };
  const days = (spans.find(([k]) => k === query.span) ?? spans[1])[2];
  return { from: days > 0 ? new Date(Math.floor((now().getTime() - days * 864e5) / 6e4) * 6e4).toISOString() : '' };
}
const day = (text) => { const t = Date.parse(text); return t ? new Date(t).toISOString() : ''; };

export const load = (arg, query) => get('/api/proof', times(query));

export function draw(p, arg, query) {
  return [
    h('h1', { tabindex: '-1' }, 'Proof'),
    filters(query),
    h('p', { class: 'lead', 'data-key': 'lead' }, w.plain(p.summary) + '.'),
    verdict(p),
    facts('totals', [
      ['Stops', w.number(p.stops)], ['On time', mark(p.onTime === p.stops - p.open ? 'good' : 'plain', 'yes', w.number(p.onTime)), 'within ' + w.lasting(p.promiseSeconds * 1000) + ' of when the cause was known'],
      ['Late', mark(p.late ? 'bad' : 'quiet', 'alert', w.number(p.late))], ['Open', mark(p.overdue ? 'bad' : p.open ? 'warn' : 'quiet', 'ending', w.number(p.open)), p.overdue ? p.overdue + ' of them overdue' : 'not seen stopped yet'],
      ['Over by themselves', w.number(p.closed), 'nothing was left to stop']]),
    p.stops - p.open > 0 ? histogram(p) : h('div', { class: 'panel empty', 'data-key': 'none' }, h('p', {}, h('strong', {}, 'No confirmed stop in this time.')), h('p', { class: 'quiet' }, 'Choose a longer time.')),
    p.worst && h('section', { 'data-key': 'worst', 'aria-labelledby': 'worst' }, h('h2', { id: 'worst' }, 'The worst'), stops('The worst stops', [['from when it was known', p.worst], p.worstFromCause && ['from the cause’s own time', p.worstFromCause]].filter(Boolean).map(([kind, stop]) => ({ kind, ...stop })), true)),
    p.shown.length > 0 && h('section', { 'data-key': 'late', 'aria-labelledby': 'late' }, h('h2', { id: 'late' }, 'Late and open'), stops('Late and open stops', p.shown), p.leftOut > 0 && h('p', { class: 'quiet' }, 'And ' + w.number(p.leftOut) + ' more.')),
    offline(p),
  ];
}

function filters(query) {
  const own = query.span === 'own';
  return h('form', { class: 'filters', 'aria-label': 'Time', 'data-keep': JSON.stringify(query), onsubmit: (e) => e.preventDefault(), onchange: (e) => { location.hash = '#/proof?' + new URLSearchParams([...new FormData(e.currentTarget)].filter(([, v]) => v)); } },
    field('Stops decided in', choice('span', query.span ?? '7d', spans.map(([k, text]) => [k, text]))),
    own && field('From', h('input', { id: 'from', name: 'from', type: 'datetime-local', value: query.from ?? '' })), own && field('Before', h('input', { id: 'to', name: 'to', type: 'datetime-local', value: query.to ?? '' })));
}

function verdict(p) {
  return h('div', { class: 'panel ' + (p.holds ? 'good' : 'bad'), 'data-key': 'verdict', role: 'status' },
    h('p', {}, p.holds ? mark('good', 'yes', 'Verified: nothing was changed, dropped, reordered or invented') : mark('bad', 'alert', 'The evidence is broken: ' + w.plural(p.faults.length + p.moreFaults, 'fault'))),
    !p.holds && h('ul', {}, p.faults.map((f) => h('li', {}, f)), p.moreFaults > 0 && h('li', {}, 'And ' + w.number(p.moreFaults) + ' more.')),
    h('p', { class: 'note' }, 'Read: ' + [w.plural(p.sessions, 'session'), w.number(p.entries) + (p.entries === 1 ? ' entry' : ' entries'), w.plural(p.anchors, 'anchor')].join(', ') + '. ',
      p.anchors ? ['Anchors reach to ', w.time(p.covered), '; ' + w.number(p.unanchored) + ' younger changes are vouched for by their own session only. The newest anchor has the hash ', h('code', {}, p.newestAnchor), '.'] : 'There are no anchors yet: that no session is missing cannot be said.'));
}

const upTo = (b, before) => (b.upToSeconds ? 'up to ' + w.lasting(b.upToSeconds * 1000) : 'more than ' + w.lasting(before.upToSeconds * 1000));

function histogram(p) {
  const top = Math.max(1, ...p.histogram.map((b) => b.stops)), late = (b) => !b.upToSeconds;
  return h('section', { 'data-key': 'histogram', 'aria-labelledby': 'histogram' }, h('h2', { id: 'histogram' }, 'How long stops took'),
    table('Stops by how long they took', [
      { head: 'From known to seen stopped', cell: (b) => [b.text, late(b) && b.stops > 0 && mark('bad', 'alert', 'late')] },
      { head: 'Stops', class: 'num', cell: (b) => w.number(b.stops) },
      { head: 'Share', unseen: true, class: 'grow', cell: (b) => s('svg', { class: 'share' + (late(b) ? ' late' : ''), viewBox: '0 0 100 4', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, s('rect', { width: (b.stops / top) * 100, height: 4 })) }],
    p.histogram.map((b, i) => ({ ...b, text: upTo(b, p.histogram[i - 1]) })), (b) => b.text, 'keep'));
}

function stops(caption, list, worst) {
  return table(caption, [
    worst && { head: 'Counted', cell: (x) => x.kind },
    { head: 'Session', class: 'grow', cell: (x) => h('a', { class: 'code', href: '#/session/' + encodeURIComponent(x.session) }, x.session) },
    { head: 'Cause', cell: (x) => [x.causeText, h('span', { class: 'note' }, 'by ' + (x.by || 'somebody unknown'))] },
    { head: 'Known', cell: (x) => w.time(x.known, true) }, { head: 'Asked', cell: (x) => (x.asked ? w.time(x.asked, true) : 'not yet') },
    { head: 'Seen stopped', cell: (x) => (x.confirmed ? w.time(x.confirmed, true) : mark('warn', 'ending', 'not yet')) },
    { head: 'Took', class: 'num', cell: (x) => (x.tookSeconds === undefined ? '' : w.lasting((worst && x.kind !== 'from when it was known' ? x.tookFromCauseSeconds : x.tookSeconds) * 1000 + 499)) },
  ].filter(Boolean), list, (x) => (x.kind ?? '') + x.session);
}

const offline = (p) => h('section', { 'data-key': 'offline', 'aria-labelledby': 'offline' }, h('h2', { id: 'offline' }, 'Check it yourself'),
  h('p', {}, 'This page believes the system that made the records. The command line verifies a file of them without it: no system, no account, no network.'),
  h('pre', { tabindex: 0, 'aria-label': 'Commands' }, 'nightshift prove' + (p.from ? ' --from ' + p.from : '') + ' --export evidence.jsonl\nnightshift prove --offline evidence.jsonl' + (p.newestAnchor ? ' --anchor ' + p.newestAnchor : '')));

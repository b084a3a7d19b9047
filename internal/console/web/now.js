// Now: who runs what, in which mode, for how long and at what cost; what must end
// within the hour first. A user sees their own, in words that fit them.

import { h, icon, mark, table, facts, field, choice, away, unseen } from './dom.js';
import { get, lines, now } from './api.js';
import * as w from './words.js';

const screenful = 200, hour = 36e5;
let enough = screenful;

export const title = (arg, query, me) => (me && me.role !== 'administrator' ? 'My runs' : 'Now');
export const period = 3000;

const picks = ['user', 'engine', 'mode', 'status', 'dueWithin', 'endpoint'];
const selects = ['user', 'engine', 'mode', 'dueWithin', 'endpoint']; // what a revocation can select by
const only = (query, names) => Object.fromEntries(names.filter((n) => query[n]).map((n) => [n, query[n]]));

export async function load(arg, query, me) {
  const admin = me.role === 'administrator', picked = only(query, picks);
  const [list, policy, engines] = await Promise.all([lines(picked, enough), get('/api/policy'), admin ? get('/api/endpoints') : null]);
  const byID = new Map(list.all.map((l) => [l.id, l]));
  // Where not all are shown, what is urgent is asked for by itself.
  if (list.more && !query.dueWithin && !query.status) {
    for (const more of [{ dueWithin: '1h' }, { status: 'ENDING' }]) for (const l of (await lines({ ...picked, ...more }, screenful)).all) byID.set(l.id, l);
  }
  if (admin && !Object.keys(picked).length) remember([...byID.values()]);
  return { sessions: [...byID.values()], more: list.more, policy, engines };
}

function remember(sessions) {
  try {
    const known = JSON.parse(sessionStorage.getItem('users') ?? '[]');
    sessionStorage.setItem('users', JSON.stringify([...new Set([...known, ...sessions.map((l) => l.user)])].sort().slice(0, 200)));
  } catch { /* only a convenience */ }
}

const urgent = (l) => l.status === 'ENDING' || l.status === 'ACTIVE' && w.nextEnd(l) && w.nextEnd(l).at - now() <= hour;
const order = (a, b) => (a.status === 'ENDING' ? 0 : 1) - (b.status === 'ENDING' ? 0 : 1) || (w.nextEnd(a)?.at ?? Infinity) - (w.nextEnd(b)?.at ?? Infinity) || (a.id < b.id ? -1 : 1);

export function tell(before, after) {
  const ending = (d) => new Map(d.sessions.map((l) => [l.id, l.status]));
  const was = ending(before), is = ending(after);
  const began = [...is].filter(([id, st]) => st === 'ENDING' && was.get(id) !== 'ENDING').length;
  const gone = [...was].filter(([id, st]) => st === 'ENDING' && (is.get(id) ?? 'ENDED') === 'ENDED').length;
  return [began && w.plural(began, 'run') + ' being stopped', gone && w.plural(gone, 'run') + ' seen stopped'].filter(Boolean).join(', ');
}

export function draw(data, arg, query, again, me) {
  const admin = me.role === 'administrator';
  const dear = Number(query.cost) || 0;
  const all = data.sessions.filter((l) => !dear || (l.cost?.soFar?.usd ?? 0) >= dear).sort(order);
  const soon = all.filter(urgent), rest = all.filter((l) => !urgent(l));
  const filtered = picks.concat('cost').some((n) => query[n]);
  return [
    h('h1', { tabindex: '-1' }, title(arg, query, me)),
    banner(data.policy, admin),
    admin && totals(all, soon, data.more),
    admin && filters(query),
    admin && acts(query, all),
    !all.length && empty(filtered, admin, data.more, me.local),
    soon.length > 0 && h('section', { 'data-key': 'soon', class: 'urgent', 'aria-labelledby': 'soon' }, h('h2', { id: 'soon' }, icon('clock'), admin ? 'Must end within the hour' : 'Ends within the hour', ' ', h('span', { class: 'count' }, soon.length)),
      rows(soon, admin, 'Sessions that must end within the hour')),
    rest.length > 0 && h('section', { 'data-key': 'rest', 'aria-labelledby': 'rest' }, h('h2', { id: 'rest' }, restTitle(query, soon, admin), ' ', h('span', { class: 'count' }, rest.length + (data.more ? '+' : ''))),
      rows(rest, admin, 'Other sessions')),
    data.more && h('p', { class: 'acts', 'data-key': 'more' }, h('button', { type: 'button', onclick: () => { enough += screenful; again(true); } }, 'Show more'), h('span', { class: 'quiet' }, 'Not all are shown; filters look through all.')),
    data.engines && endpoints(data.engines.endpoints),
  ];
}

const restTitle = (query, soon, admin) => (query.status === 'ENDED' ? 'Ended' : query.status === 'all' ? 'All others' : soon.length ? 'Later' : admin ? 'Running' : 'Running now');

function banner(p, admin) {
  const d = w.long(p.policy.backgroundDuration);
  return h('p', { class: 'banner', 'data-key': 'banner' }, icon('moon'), h('span', {},
    h('strong', {}, admin ? 'A background session lasts ' + d + ' at most.' : 'A background run goes on for ' + d + ' at most after it began.'), ' ',
    p.whereDuration.text.replace(/ \(https:[^)]*\)/, ''), ' ', away(p.whereDuration.console, 'Open IAM Identity Center')));
}

function totals(all, soon, more) {
  const live = all.filter((l) => l.status !== 'ENDED');
  const cost = live.reduce((c, l) => (l.cost?.soFar?.usd !== undefined ? { ...c, usd: c.usd + l.cost.soFar.usd } : { ...c, unknown: c.unknown + 1 }), { usd: 0, unknown: 0 });
  const forgotten = live.filter((l) => l.cost?.forgotten).length;
  return facts('totals', [
    ['Live', w.number(live.length) + (more ? '+' : '')],
    ['End within the hour', w.number(soon.length)],
    ['Being stopped', w.number(live.filter((l) => l.status === 'ENDING').length)],
    ['Cost so far', w.usd(cost.usd), cost.unknown ? 'without ' + w.plural(cost.unknown, 'unknown cost') : ''],
    forgotten ? ['Forgotten', w.number(forgotten), 'their users left a day ago or longer'] : null,
  ]);
}

function filters(query) {
  const set = (e) => {
    const q = new URLSearchParams([...new FormData(e.currentTarget)].filter(([, v]) => v));
    location.hash = '#/now' + (q.size ? '?' + q : '');
  };
  return h('form', { class: 'filters', 'aria-label': 'Filters', 'data-keep': JSON.stringify(query), onchange: set, onsubmit: (e) => { e.preventDefault(); set(e); } },
    field('User', h('input', { id: 'f-user', name: 'user', value: query.user ?? '', autocomplete: 'off', size: 12 })),
    field('Engine', choice('f-engine', query.engine ?? '', [['', 'any'], ...Object.entries(w.engines)], { name: 'engine' })),
    field('Mode', choice('f-mode', query.mode ?? '', [['', 'any'], ...w.modeNames.map((m) => [m, m])], { name: 'mode' })),
    field('State', choice('f-status', query.status ?? '', [['', 'live'], ['ACTIVE', 'running'], ['ENDING', 'being stopped'], ['ENDED', 'ended'], ['all', 'all']], { name: 'status' })),
    field('Ends within', choice('f-due', query.dueWithin ?? '', [['', 'any time'], ['1h', '1 hour'], ['24h', '24 hours'], ['7d', '7 days']], { name: 'dueWithin' })),
    field('Cost from, $', h('input', { id: 'f-cost', name: 'cost', value: query.cost ?? '', inputmode: 'decimal', autocomplete: 'off', size: 6 })),
    query.endpoint && h('input', { type: 'hidden', name: 'endpoint', value: query.endpoint }));
}

function acts(query, all) {
  const picked = only(query, selects), q = new URLSearchParams(picked);
  const other = query.cost || query.status;
  return h('p', { class: 'acts', 'data-key': 'acts' },
    query.user && h('a', { class: 'button', href: '#/user/' + encodeURIComponent(query.user) }, 'What is known of ' + query.user),
    q.size && !other ? h('a', { class: 'button bad', href: '#/revoke?' + q }, 'Revoke these ' + all.filter((l) => l.status !== 'ENDED').length + '…') : h('a', { class: 'button', href: '#/revoke' }, 'Revoke several…'),
    picks.concat('cost').some((n) => query[n]) && h('a', { class: 'button', href: '#/now' }, 'Clear the filters'));
}

function empty(filtered, admin, more, local) {
  const text = filtered ? ['No session fits these filters.', more ? 'There may be more to look through.' : 'Clear a filter to see others.']
    : admin ? ['Nothing runs now.', 'A run appears here within a minute of its start, whoever starts it.' + (local ? ' This local system begins empty; nightshift up --example begins with some runs.' : '')] : ['You have no runs now.', 'A run that you start appears here within a minute.'];
  return h('div', { class: 'panel empty', 'data-key': 'empty' }, h('p', {}, h('strong', {}, text[0])), h('p', { class: 'quiet' }, text[1]));
}

function rows(list, admin, caption) {
  return table(caption, [
    { head: 'Run', class: 'grow', cell: (l) => [h('a', { href: '#/session/' + encodeURIComponent(l.id), class: 'code' }, w.runName(l)), h('span', { class: 'note' }, w.engine(l))] },
    admin && { head: 'User', class: 'user', cell: (l) => h('a', { class: 'nowrap', href: '#/now?user=' + encodeURIComponent(l.user) }, l.user) },
    { head: 'Mode', class: 'mode', cell: (l) => w.mode(l.mode) },
    { head: admin ? 'If the user signs out' : 'If I sign out', class: 'out', cell: (l) => (l.status === 'ACTIVE' ? w.onSignOut(l.survivesSignOut) : w.status(l.status)) },
    { head: admin ? 'Ends at the latest' : 'Until when', class: 'end', cell: end },
    { head: 'Cost so far', class: 'num', cell: (l) => [w.amount(l.cost?.soFar), l.cost?.forgotten ? mark('warn', 'alert', 'forgotten') : null] },
    { head: 'Act', unseen: true, class: 'do', cell: (l) => l.status !== 'ENDED' && (admin
      ? h('a', { class: 'button', href: '#/revoke?session=' + encodeURIComponent(l.id) }, 'Revoke…', unseen(' ' + l.user + ', ' + w.runName(l)))
      : h('a', { class: 'button', href: '#/session/' + encodeURIComponent(l.id) }, 'Stop or extend…', unseen(' ' + w.runName(l)))) },
  ].filter(Boolean), list, (l) => l.id, admin ? 'runs' : 'runs mine');
}

/** end says when a session ends, by what, or how its stop is going. */
export function end(l) {
  if (l.status === 'ENDED') return [h('strong', {}, 'Ended '), l.confirmed ? w.time(l.confirmed) : '', h('span', { class: 'note' }, 'because ' + l.causeText)];
  if (l.status === 'ENDING') {
    const left = Date.parse(l.known) + w.promise - now();
    return [left >= 0 ? mark('warn', 'ending', w.lasting(left) + ' left to stop it') : mark('bad', 'alert', 'overdue by ' + w.lasting(-left)),
      h('span', { class: 'note' }, (l.asked ? 'asked to stop, not seen stopped yet' : 'not asked yet') + '; because ' + l.causeText)];
  }
  const next = w.nextEnd(l);
  if (!next) return h('span', { class: 'quiet' }, 'no limit known');
  const left = next.at - now();
  const text = left > 0 ? w.lasting(left) + ' left' : 'due now';
  return [left <= hour ? mark('warn', 'clock', text) : h('strong', { class: 'left' }, text), h('span', { class: 'note' }, w.time(next.at.toISOString()), ', ' + next.by)];
}

function endpoints(list) {
  return h('section', { 'data-key': 'endpoints', 'aria-labelledby': 'endpoints' }, h('h2', { id: 'endpoints' }, 'Engines'),
    h('p', { class: 'quiet' }, 'Room is how many live runs an engine can all stop within the promised 15 minutes.'),
    table('Engines', [
      { head: 'Endpoint', class: 'grow', cell: (e) => h('a', { class: 'code', href: '#/now?endpoint=' + encodeURIComponent(e.id) }, e.id) },
      { head: 'Live', class: 'num', cell: (e) => w.number(e.live) },
      { head: 'Room', class: 'num', cell: (e) => [w.number(e.capacity), e.live > e.capacity && mark('bad', 'alert', 'too many live')] },
      { head: 'Being stopped', class: 'num', cell: (e) => [w.number(e.ending), e.waiting ? h('span', { class: 'note' }, e.waiting + ' not asked yet, the last in ' + w.lasting(e.etaSeconds * 1000)) : null] },
      { head: 'Last listed', cell: (e) => (e.lastListed ? [w.lasting(now() - new Date(e.lastListed)), ' ago'] : h('span', { class: 'quiet' }, 'not yet')) },
      { head: 'State', cell: (e) => (e.draining ? mark('warn', 'ending', 'stopping runs') : e.watched ? mark('plain', 'running', 'watched') : mark('quiet', 'ended', 'no live run')) },
    ], list, (e) => e.id));
}

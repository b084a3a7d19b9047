// Session: why a run may go on, until when, what it cost, what can be done, and its
// story: every decision with its rule.

import { h, icon, mark, facts, field, away, unseen, patch } from './dom.js';
import { get, send, now, newKey, Problem } from './api.js';
import { end } from './now.js';
import * as w from './words.js';

export const title = () => 'Session';
export const period = 3000;
export const load = (id) => get('/api/sessions/' + encodeURIComponent(id));

let quietToo = true; // also what changed nothing

export function tell(before, after) {
  if (before.line.status !== after.line.status) return 'The session is now ' + { ACTIVE: 'running', ENDING: 'being stopped', ENDED: 'ended' }[after.line.status];
  const n = after.history.length - before.history.length;
  return n > 0 && w.plural(n, 'new decision') + ' in the story';
}

export function draw(story, id, query, again, me) {
  const admin = me.role === 'administrator', l = story.line;
  return [
    h('h1', { tabindex: '-1', class: 'run' }, w.runName(l)),
    h('p', { class: 'sub', 'data-key': 'sub' }, w.status(l.status), w.mode(l.mode), h('span', {}, w.engine(l)), admin ? h('a', { href: '#/user/' + encodeURIComponent(l.user) }, l.user) : null, h('span', { class: 'code quiet' }, id), story.session.previous && h('a', { href: '#/session/' + encodeURIComponent(story.session.previous) }, 'It follows this session')),
    answer(story, admin),
    story.session.progress && progress(story.session.progress, l),
    acts(story, id, admin, again),
    h('div', { class: 'columns', 'data-key': 'columns' }, grounds(story), limits(story)),
    links(story),
    prices(story),
    history(story, again),
  ];
}

function answer(story, admin) {
  const l = story.line, c = l.cost;
  return facts('totals answer', [
    l.status === 'ACTIVE' ? [admin ? 'Does it survive a sign-out?' : 'Will my run survive my sign-out?', { yes: mark('good', 'yes', 'yes'), no: mark('bad', 'no', 'no'), unknown: mark('warn', 'alert', 'it is not known') }[story.survivesSignOut], w.plain(story.onSignOut)] : null,
    [l.status === 'ACTIVE' ? 'Until when?' : 'The end', end(l)],
    c && ['Cost so far', w.amount(c.soFar), [c.hourly?.usd !== undefined ? w.usd(c.hourly.usd) + ' an hour' : c.hourly?.unknown, c.toDeadline?.usd !== undefined && '; ' + w.usd(c.toDeadline.usd) + ' if it runs to its end', c.note && c.hourly?.usd !== undefined && '; ' + c.note].filter(Boolean).join('')],
    story.savedAtMost.usd !== undefined ? ['Saved by its stop, at most', w.usd(story.savedAtMost.usd)] : null,
    l.confirmed && l.latenessSeconds !== undefined ? ['Stopped within', w.lasting(l.latenessSeconds * 1000), 'from when the cause was known; 15 min are promised'] : null,
  ]);
}

function progress(p, l) {
  const done = Math.round(p.fraction * 100), took = Date.parse(p.at) - Date.parse(p.since);
  const finish = p.fraction >= 0.05 && took > 6e5 ? new Date(Date.parse(p.at) + took * (1 / p.fraction - 1)) : null;
  const late = finish && l.deadline && finish > new Date(l.deadline);
  return h('section', { 'data-key': 'progress', class: 'panel', 'aria-labelledby': 'progress' }, h('h2', { id: 'progress' }, 'Progress'),
    h('label', { class: 'bar' }, p.of + ': ' + done + ' %', h('progress', { max: 100, value: done })),
    finish && h('p', {}, late ? mark('warn', 'alert', 'It will probably not finish before its end: ') : 'At this pace it finishes ', w.time(finish.toISOString()), '.'));
}

/** acts are what can be done, and why not where it cannot. */
function acts(story, id, admin, again) {
  const l = story.line;
  if (l.status === 'ENDED') return restart(story, id, again);
  const x = story.extension;
  return h('section', { 'data-key': 'acts', class: 'panel', 'aria-labelledby': 'acts' }, h('h2', { id: 'acts' }, 'What can be done'),
    h('p', { class: 'acts' },
      h('button', { type: 'button', class: 'bad', onclick: () => ask(stopForm(id, again)) }, 'Stop this run…'),
      x.possible && h('button', { type: 'button', onclick: () => ask(extendForm(id, x, again)) }, 'Extend…'),
      admin && h('a', { class: 'button', href: '#/revoke?session=' + encodeURIComponent(id) }, 'Revoke with preview…'),
      l.status === 'ACTIVE' && h('a', { class: 'button', href: '#/whatif?kind=signOut&user=' + encodeURIComponent(l.user) }, 'What if ' + (admin ? l.user + ' signs' : 'I sign') + ' out?')),
    x.possible ? h('p', { class: 'quiet' }, 'Its end can be moved to ', w.time(x.until), ' at the latest: ' + w.plain(x.reason) + '.')
      : h('p', { class: 'quiet' }, 'Its end cannot be moved: ' + w.plain(x.reason) + '. ' + (x.remedy ?? '')),
    story.awsSession && awsSession(story.awsSession));
}

/** restart is what can be done with what has ended. */
function restart(story, id, again) {
  const next = story.next || (restarted.of === id ? restarted.next : '');
  return h('section', { 'data-key': 'acts', class: 'panel', 'aria-labelledby': 'acts' }, h('h2', { id: 'acts' }, 'Start it again'),
    next ? h('p', {}, restarted.of === id ? restarted.text + ' ' : 'It was started again. ', h('a', { href: '#/session/' + encodeURIComponent(next) }, 'The session that follows'))
      : [h('p', {}, 'A new session has a new end, by the policy of now. A run that writes checkpoints goes on from the last one.'), h('p', { class: 'acts' }, h('button', { type: 'button', onclick: () => ask(restartForm(id, again)) }, 'Start it again…'))]);
}

let restarted = {}; // the answer to the newest restart: its session opens in a moment

/** awsSession says where AWS's own session is ended, which no API does (S8.1). */
export const awsSession = (a) => h('p', { class: 'note' }, a.text, ' ', away(a.console, 'Open IAM Identity Center'), a.search && [' Search for ', h('code', {}, a.search)]);

/** ask shows a form over the page. The dialog gives the focus back by itself. */
function ask(form) {
  const dialog = h('dialog', { 'aria-labelledby': 'asked' }, form);
  dialog.onclose = () => dialog.remove();
  document.body.append(dialog);
  dialog.showModal();
}

/** acting is a form whose act can be tried again without being done twice. */
function acting(heading, body, button, tone, act) {
  const said = h('p', { class: 'wrong', role: 'alert' }), key = newKey();
  const go = h('button', { class: tone }, button);
  const close = (e) => e.target.closest('dialog').close();
  return h('form', { 'aria-labelledby': 'asked', onsubmit: async (e) => {
    e.preventDefault();
    const form = e.currentTarget;
    go.disabled = true;
    try {
      await act(Object.fromEntries(new FormData(form)), key);
      form.closest('dialog').close();
    } catch (err) {
      if (!(err instanceof Problem)) throw err;
      patch(said, [icon('alert'), ' ' + w.plain(err.detail) + (err.remedy ? '. ' + err.remedy : '')]);
    } finally {
      go.disabled = false;
    }
  } }, h('h2', { id: 'asked' }, heading), body, said, h('p', { class: 'acts' }, go, h('button', { type: 'button', onclick: close }, 'Cancel')));
}

const why = () => field('Why (for the record)', h('input', { id: 'why', name: 'why', maxlength: 200, autocomplete: 'off' }));

const stopForm = (id, again) => acting('Stop this run?', [h('p', {}, 'The run is asked to stop. It counts as ended when the engine shows it stopped, within 15 minutes. What it has not saved is lost.'), why()],
  'Stop the run', 'main bad', async (f, key) => { await send('POST', '/api/sessions/' + encodeURIComponent(id) + '/stop', { why: f.why }, key); again(true); });

const restartForm = (id, again) => acting('Start this run again?', [h('p', {}, 'It goes on from its last checkpoint, under a new session with the policy of now.'), why()],
  'Start it again', 'main', async (f, key) => { restarted = { of: id, ...await send('POST', '/api/sessions/' + encodeURIComponent(id) + '/restart', { why: f.why }, key) }; again(true); });

const extendForm = (id, x, again) => acting('Move the end of this run', [
  field('By how much', h('input', { id: 'by', name: 'by', required: true, value: '1h', autocomplete: 'off', size: 10 }), 'After the present end, such as 90m, 12h or 2d; ' + w.moment(x.until) + ' at the latest.'), why()],
'Move the end', 'main', async (f, key) => { await send('POST', '/api/sessions/' + encodeURIComponent(id) + '/extend', { by: f.by, why: f.why }, key); again(true); });

function grounds(story) {
  return h('section', { class: 'panel', 'aria-labelledby': 'grounds' }, h('h2', { id: 'grounds' }, 'Why its mode is ' + story.line.mode),
    h('ul', { class: 'plainlist' }, story.grounds.map((g) => h('li', {}, h('span', {}, g.name), w.tri(g.value)))),
    story.line.why.map((t) => h('p', { class: 'note' }, w.plain(t))), h('p', { class: 'note' }, 'Frozen when the session was opened, ', w.time(story.line.openedAt), ', under version ' + story.session.policy.version + ' of the policy.'));
}

/** limitsOf are the limits with the idle one, which moves with the work. */
function limitsOf(story) {
  const l = story.line, idle = l.idleDue && { source: 'idle', text: 'the policy’s, from when the last statement finished', at: l.idleDue, decides: !l.deadline || l.idleDue < l.deadline };
  return idle ? [...story.limits.map((x) => ({ ...x, decides: x.decides && !idle.decides })), idle] : story.limits;
}

function limits(story) {
  const list = limitsOf(story);
  return h('section', { class: 'panel', 'aria-labelledby': 'limits' }, h('h2', { id: 'limits' }, 'What limits it'),
    list.length ? h('ul', { class: 'plainlist' }, list.map((x) => h('li', {}, h('span', {}, w.sources[x.source] ?? x.source, h('span', { class: 'note' }, x.text)),
      h('span', { class: 'num' }, x.at ? w.time(x.at) : h('span', { class: 'quiet' }, 'not begun'), x.decides && mark('accent', 'clock', 'decides')))))
      : h('p', { class: 'quiet' }, 'No limit is known: it ends when its work is done, or when it is stopped.'),
    h('p', { class: 'note' }, story.whereDuration.text.replace(/ \(https:[^)]*\)/, ''), ' ', away(story.whereDuration.console, 'Open IAM Identity Center')));
}

function links(story) {
  const list = story.links ?? [];
  return list.length > 0 && h('section', { 'data-key': 'links', 'aria-labelledby': 'links' }, h('h2', { id: 'links' }, 'Logs and Spark'),
    h('ul', { class: 'links' }, list.map((x) => h('li', {}, away(x.url, x.name), x.note && h('span', { class: 'note' }, x.note)))));
}

function prices(story) {
  return story.prices.length > 0 && h('details', { 'data-key': 'prices' }, h('summary', {}, 'What its cost was counted by'),
    h('ul', {}, story.prices.map((p) => h('li', {}, p.item + ' (' + p.service + ', ' + p.region + '): $' + p.usdPerHour + ' an hour, as of ' + p.date, h('span', { class: 'note' }, p.source)))));
}

const changes = (t) => t.decided !== 'nothing changes for the run';

function history(story, again) {
  const shown = story.history.filter((t) => quietToo || changes(t)).reverse();
  return h('section', { 'data-key': 'history', 'aria-labelledby': 'story' }, h('h2', { id: 'story' }, 'The story, newest first'),
    h('p', { class: 'sub' }, story.chain === 'intact' ? mark('good', 'yes', 'The chain of records is intact') : mark('bad', 'alert', 'The chain of records is broken: ' + story.chain),
      h('label', { class: 'check' }, h('input', { type: 'checkbox', id: 'only', checked: !quietToo, onchange: (e) => { quietToo = !e.target.checked; again(); } }), ' Only what changed something')),
    h('ol', { class: 'story', reversed: true }, shown.map((t) => h('li', { 'data-key': 'v' + t.version, class: changes(t) ? 'turn' : null },
      h('p', { class: 'when' }, w.time(t.at, true), h('span', { class: 'quiet' }, ' no. ' + t.version)),
      h('div', {}, h('p', {}, h('strong', {}, upper(t.happened)), t.by && h('span', { class: 'quiet' }, ' by ' + t.by)),
        h('p', {}, upper(t.decided) + '.', h('span', { class: 'note' }, 'Rule: ' + w.plain(t.rule) + '.')),
        t.consequences.length > 0 && h('ul', { class: 'then' }, t.consequences.map((c) => h('li', {}, upper(c)))),
        h('details', {}, h('summary', {}, 'Record', unseen(' no. ' + t.version)), facts('record', [
          ['Evidence', h('code', {}, t.evidence || 'none')], ['Hash', h('code', {}, t.entry.hash)], ['Hash before', h('code', {}, t.entry.previous || 'none: it is the first')]])))))));
}

const upper = (text) => { const t = w.plain(text); return t.charAt(0).toUpperCase() + t.slice(1).replace(/\.$/, ''); };

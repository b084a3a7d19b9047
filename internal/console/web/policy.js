// Policy: the levels that must all be on, the durations, what ends what, and who set
// what when.

import { h, icon, mark, table, facts, field, choice, away, unseen } from './dom.js';
import { get, send, newKey, Problem } from './api.js';
import * as w from './words.js';

export const title = 'Policy';
export const period = 5000;
export const load = () => get('/api/policy');

const lengths = [
  ['backgroundDuration', 'Background duration', 'How long a background session lasts.'],
  ['interactiveDuration', 'Interactive duration', 'Where the sign-in’s own end is not known.'],
  ['livyIdle', 'Livy idle limit', 'An idle Livy session ends after this time.'],
  ['tenantLimit', 'Tenant limit', 'No session of any mode lasts longer; “none” for no limit.'],
];

let editing = false, wrong = null, key = newKey(), saved = '';

/** fields are the settings as a form; what they hold already is shown in them. */
export function fields(p, query, why) {
  const is = p.policy, range = w.long(p.least) + ' to ' + w.long(p.most);
  return [
    field('Background sessions (instance)', choice('instanceBackground', query?.instanceBackground ?? is.instanceBackground, ['on', 'off', 'unknown'].map((v) => [v, v])), 'Must say what IAM Identity Center is set to: it has no API.', why('instanceBackground')),
    lengths.map(([name, label, help]) => field(label, h('input', { id: name, name, autocomplete: 'off', size: 10, value: query?.[name] ?? (w.brief(is[name]) || 'none') }), help + ' ' + range + '.', why(name))),
    field('Launch through Unified Studio', choice('requireUnifiedStudioLaunch', query?.requireUnifiedStudioLaunch ?? String(is.requireUnifiedStudioLaunch), [['false', 'not required'], ['true', 'required']]), 'For background sessions on EMR on EC2.', why('requireUnifiedStudioLaunch')),
    field('Tell of forgotten sessions above, $', h('input', { id: 'costAlertUsd', name: 'costAlertUsd', inputmode: 'numeric', autocomplete: 'off', size: 8, value: query?.costAlertUsd ?? is.costAlertUsd ?? 0 }), '0 for never.', why('costAlertUsd')),
  ];
}

/** changeOf reads the fields of a form; with a policy, only what differs from it. */
export function changeOf(form, is) {
  const c = {};
  const put = (name, value, present) => { if (form[name] !== undefined && form[name] !== '' && (!is || value !== present)) c[name] = value; };
  put('instanceBackground', form.instanceBackground, is?.instanceBackground);
  for (const [name] of lengths) put(name, form[name], is && (w.brief(is[name]) || 'none'));
  put('requireUnifiedStudioLaunch', form.requireUnifiedStudioLaunch === 'true', is?.requireUnifiedStudioLaunch);
  // What is no number is sent as it is: the API says what is allowed.
  put('costAlertUsd', /^\d+$/.test(form.costAlertUsd) ? Number(form.costAlertUsd) : form.costAlertUsd, is?.costAlertUsd ?? 0);
  return c;
}

export function draw(data, arg, query, again, me) {
  const admin = me.role === 'administrator', is = data.policy;
  return [
    h('h1', { tabindex: '-1' }, 'Policy'),
    h('p', { class: 'sub', 'data-key': 'sub' }, h('span', {}, 'Version ' + is.version), is.changedAt && h('span', {}, 'since ', w.time(is.changedAt)), h('span', { class: 'quiet' }, 'Holds for new sessions; those that run keep what they were opened with.')),
    saved && h('p', { class: 'strip good', role: 'status', 'data-key': 'saved' }, icon('yes'), ' ' + saved),
    editing && admin ? edit(data, again) : shown(data, admin, again),
    levels(is),
    matrix(data.causes),
    changes(data.changes),
  ];
}

function shown(data, admin, again) {
  const is = data.policy;
  return h('section', { 'data-key': 'shown', 'aria-labelledby': 'settings' }, h('h2', { id: 'settings' }, 'Settings'), facts('totals', [
    ['Background sessions (instance)', w.tri(is.instanceBackground)],
    ...lengths.map(([name, label, help]) => [label, w.long(is[name]), help.replace(/;.*/, '.')]),
    ['Launch through Unified Studio', is.requireUnifiedStudioLaunch ? 'required' : 'not required'],
    ['Tell of forgotten sessions', is.costAlertUsd ? 'above ' + w.usd(is.costAlertUsd) : 'never']]),
  h('p', { class: 'note' }, data.whereDuration.text.replace(/ \(https:[^)]*\)/, ''), ' Nightshift must be told the same here. ', away(data.whereDuration.console, 'Open IAM Identity Center')),
  admin && h('p', { class: 'acts' }, h('button', { type: 'button', onclick: () => { editing = true; wrong = null; saved = ''; key = newKey(); again(); document.getElementById('instanceBackground')?.focus(); } }, 'Change the policy…'), h('a', { class: 'button', href: '#/whatif?kind=policy' }, 'Try a change first')));
}

function edit(data, again) {
  const is = data.policy;
  const close = () => { editing = false; again(true); };
  const about = (name) => wrong?.field?.endsWith('.' + name) ? 'It must be ' + wrong.allowed + '.' : null;
  return h('form', { class: 'panel', 'data-key': 'edit', 'data-keep': 'edit ' + is.version + ' ' + (wrong?.field ?? '') + (wrong?.detail ?? ''), 'aria-label': 'Change the policy', onsubmit: async (e) => {
    e.preventDefault();
    const form = Object.fromEntries(new FormData(e.currentTarget)), change = changeOf(form, is);
    if (!Object.keys(change).length) { close(); return; }
    try {
      const after = await send('PUT', '/api/policy', { version: is.version, change, why: form.why }, key);
      saved = 'Saved as version ' + after.policy.version + '. It holds for new sessions.';
      close();
    } catch (err) {
      if (!(err instanceof Problem)) throw err;
      wrong = Object.assign(err, { form });
      key = newKey();
      again(err.status === 409);
      document.querySelector('[aria-invalid]')?.focus();
    }
  } },
  h('h2', {}, 'Change the policy'), h('div', { class: 'fields' }, fields(data, wrong?.form, about)),
  field('Why (for the record)', h('input', { id: 'why', name: 'why', maxlength: 200, autocomplete: 'off', value: wrong?.form?.why ?? '' })),
  wrong && !wrong.field && h('p', { class: 'wrong', role: 'alert' }, icon('alert'), wrong.detail + '.'),
  h('p', { class: 'acts' }, h('button', { class: 'main' }, 'Save as version ' + (is.version + 1)), h('button', { type: 'button', onclick: close }, 'Cancel')));
}

const levels = (is) => h('section', { 'data-key': 'levels', 'aria-labelledby': 'levels' }, h('h2', { id: 'levels' }, 'Levels'),
  h('p', {}, 'A run outlives its user’s sign-out where every level that concerns it is on. What cannot be read is unknown, which never stops a run.'),
  table('Levels', [
    { head: 'Level', class: 'grow', cell: (l) => l[0] }, { head: 'Where it is set', cell: (l) => l[1] }, { head: 'Concerns', cell: (l) => l[2] }, { head: 'Now', cell: (l) => l[3] }], [
    ['Identity Center instance', 'IAM Identity Center; repeated here', 'all runs', w.tri(is.instanceBackground)],
    ['Application', 'SageMaker Studio or EMR', 'all runs', h('span', { class: 'quiet' }, 'read when a run starts')],
    ['Cluster', 'EMR security configuration', 'EMR Livy sessions', h('span', { class: 'quiet' }, 'read when a run starts')]], (l) => l[0]));

const tones = { end: ['bad', 'no'], close: ['quiet', 'ended'], 'close, alert': ['warn', 'alert'], 'goes on': ['good', 'yes'] };
const cell = (v) => (v === '–' || v === '-' ? h('span', { class: 'quiet', }, '–', unseen('cannot happen to it')) : mark(...(tones[v] ?? ['warn', 'alert']), v));

const matrix = (rows) => h('section', { 'data-key': 'matrix', 'aria-labelledby': 'matrix' }, h('h2', { id: 'matrix' }, 'What ends what'),
  table('What ends what, by mode', [
    { head: 'Cause', class: 'grow', cell: (r) => r.cause.replaceAll('-', ' ') }, ...['interactive', 'background', 'role'].map((m) => ({ head: m, cell: (r) => cell(r[m]) }))], rows, (r) => r.cause, 'keep'));

const changes = (list) => h('section', { 'data-key': 'changes', 'aria-labelledby': 'changes' }, h('h2', { id: 'changes' }, 'Who set what when'),
  list.length ? table('Changes of the policy, newest first', [
    { head: 'Version', class: 'num', cell: (c) => c.version }, { head: 'When', cell: (c) => (c.at ? w.time(c.at) : 'unknown') }, { head: 'Who', cell: (c) => c.by },
    { head: 'What', class: 'grow', cell: (c) => c.changed.split(/, (?=\w+ from )/).map((t) => h('div', {}, w.plain(t))) }, { head: 'Why', cell: (c) => c.why ?? '' }], list, (c) => String(c.version))
    : h('p', { class: 'quiet' }, 'Nobody has set anything yet: these are the defaults.'));

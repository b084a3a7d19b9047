// What the wire's names are called by people, and how times, durations and sums
// are written.

import { h, mark, unseen } from './dom.js';
import { now } from './api.js';

export const engines = {
  livy: 'EMR Livy', 'emr-containers': 'EMR on EKS', 'sagemaker-training': 'SageMaker training', 'sagemaker-processing': 'SageMaker processing',
  'sagemaker-pipeline': 'SageMaker pipeline', 'emr-notebook': 'EMR notebook',
};
const kinds = { 'livy-session': 'session', 'livy-batch': 'batch', 'livy-streaming': 'streaming' };
export const engine = (line) => (engines[line.engine] ?? line.engine) + (kinds[line.kind] ? ', ' + kinds[line.kind] : '');

export const sources = {
  'background-duration': 'background duration', 'interactive-session': 'interactive session', 'max-runtime': 'the run’s own limit',
  'engine-limit': 'AWS’s limit', 'tenant-limit': 'tenant limit', none: 'no limit', idle: 'idle limit',
};

const modes = { background: ['accent', 'moon'], interactive: ['plain', 'screen'], role: ['plain', 'key'], unknown: ['warn', 'unknown'] };
export const mode = (m) => mark(modes[m]?.[0] ?? 'plain', modes[m]?.[1] ?? 'unknown', m);
export const modeNames = Object.keys(modes);

const statuses = { ACTIVE: ['plain', 'running', 'running'], ENDING: ['warn', 'ending', 'being stopped'], ENDED: ['quiet', 'ended', 'ended'] };
export const status = (st) => mark(...(statuses[st] ?? ['warn', 'unknown', st]));

/** onSignOut says in two words what a sign-out now would do. */
export const onSignOut = (survives) => ({
  yes: mark('good', 'yes', 'goes on'), no: mark('bad', 'no', 'ends'), unknown: mark('warn', 'alert', 'goes on, with an alert'),
}[survives]);

export const outcomes = {
  ends: ['bad', 'no', 'ends'], closes: ['bad', 'ended', 'is over at once'], changes: ['warn', 'change', 'changes'], 'goes-on-alert': ['warn', 'alert', 'goes on, with an alert'],
  'goes-on': ['good', 'yes', 'goes on'], ending: ['warn', 'ending', 'already being stopped'], ended: ['quiet', 'ended', 'ended before'],
};
export const outcome = (o) => mark(...(outcomes[o] ?? ['warn', 'unknown', o]));

export const tri = (v) => ({ on: mark('good', 'yes', 'on'), off: mark('bad', 'no', 'off') }[v] ?? mark('warn', 'unknown', 'unknown'));

export const plural = (n, noun) => (n === 1 ? '1 ' + noun : number(n) + ' ' + noun + 's');
export const number = (n) => n.toLocaleString('en-GB');

/** lasting writes milliseconds with at most two units. */
export function lasting(ms) {
  const sec = Math.max(0, Math.round(ms / 1000));
  if (sec < 60) return sec + ' s';
  const min = Math.floor(sec / 60);
  if (min < 10 && sec % 60) return min + ' min ' + (sec % 60) + ' s';
  if (min < 60) return min + ' min';
  const hours = Math.floor(min / 60);
  if (hours < 48) return hours + ' h' + (min % 60 ? ' ' + (min % 60) + ' min' : '');
  return Math.floor(hours / 24) + ' d' + (hours % 24 ? ' ' + (hours % 24) + ' h' : '');
}

/** millis reads a duration as Go writes it: "168h0m0s". */
export function millis(text) {
  let ms = 0;
  for (const [, n, unit] of String(text ?? '').matchAll(/([\d.]+)(ms|d|h|m|s)/g)) ms += n * { d: 864e5, h: 36e5, m: 6e4, s: 1e3, ms: 1 }[unit];
  return ms;
}

/** long writes a duration of the policy in full: "7 days". */
export function long(text) {
  const ms = millis(text);
  if (!ms) return 'none';
  for (const [unit, word] of [[864e5, 'day'], [36e5, 'hour'], [6e4, 'minute']]) if (ms % unit === 0) return plural(ms / unit, word);
  return lasting(ms);
}

/** brief writes a duration as the API takes it: "7d", "90m". */
export function brief(text) {
  const ms = millis(text);
  if (!ms) return '';
  for (const [unit, word] of [[864e5, 'd'], [36e5, 'h'], [6e4, 'm']]) if (ms % unit === 0) return ms / unit + word;
  return Math.round(ms / 1000) + 's';
}

const clockForm = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const secondForm = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const dayForm = new Intl.DateTimeFormat('en-GB', { weekday: 'short', day: 'numeric', month: 'short' });
const yearForm = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
export const zone = () => new Intl.DateTimeFormat('en-GB', { timeZoneName: 'short' }).formatToParts(now()).find((p) => p.type === 'timeZoneName')?.value ?? '';

/** moment writes a time as people say it beside today. */
export function moment(at, seconds) {
  const t = new Date(at), today = now();
  const clock = (seconds ? secondForm : clockForm).format(t);
  if (t.toDateString() === today.toDateString()) return clock;
  const day = Math.abs(t - today) < 180 * 864e5 ? dayForm.format(t) : yearForm.format(t);
  return day + ', ' + clock;
}
export const clockOf = (t) => secondForm.format(t);
export const dayOf = (t) => dayForm.format(t);
export const hourOf = (t) => clockForm.format(t);

export const time = (at, seconds) => h('time', { datetime: at, title: new Date(at).toISOString() }, moment(at, seconds));

export const usd = (n) => '$' + n.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** amount writes a sum of money; what is unknown says why. */
export const amount = (a) => (a?.usd !== undefined ? usd(a.usd) : h('span', { class: 'quiet', title: a?.unknown }, 'unknown', a?.unknown ? unseen(': ' + a.unknown) : null));

/** sum writes a sum of which some parts may be unknown. */
export const sum = (v) => (!v ? 'unknown' : v.unknown && !v.usd ? h('span', { class: 'quiet' }, plural(v.unknown, 'unknown cost')) : [usd(v.usd), v.unknown ? h('span', { class: 'note' }, 'and ' + plural(v.unknown, 'unknown cost')) : null]);

/** plain writes the times and durations in a text of the API as people do. */
export const plain = (text) => String(text ?? '').replace(/\b\d{4}-\d\d-\d\dT[\d:.]+Z/g, (t) => moment(t)).replace(/\b(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)?s\b/g, (t) => lasting(millis(t)));

/** runName is what a run is called before it has an id, too. */
export const runName = (line) => line.run || 'still being started';

/** nextEnd is when a session ends next if nothing happens: {at, by}; null: never. */
export function nextEnd(line) {
  if (line.idleDue && (!line.deadline || line.idleDue < line.deadline)) return { at: new Date(line.idleDue), by: 'idle limit' };
  if (line.deadline) return { at: new Date(line.deadline), by: sources[line.deadlineSource] ?? line.deadlineSource };
  return null;
}

/** promise is how long a stop may take (S2.1). */
export const promise = 15 * 60e3;

// Elements, and how a page that changes under its reader stays still: a view is
// built anew each time and the document is made like it, so that what has not
// changed keeps its focus, its selection and its scroll.

const SVG = 'http://www.w3.org/2000/svg';
const handlers = ['onclick', 'oninput', 'onchange', 'onsubmit', 'onpointerenter', 'onpointerleave', 'onfocus', 'onblur'];

export const h = (name, props, ...children) => build(document.createElement(name), props, children);
export const s = (name, props, ...children) => build(document.createElementNS(SVG, name), props, children);

function build(el, props, children) {
  el.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false && c !== ''));
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (handlers.includes(name)) el[name] = value;
    else if (name === 'value' && ('defaultValue' in el || el.options)) el.value = value;
    else el.setAttribute(name, value === true ? '' : value);
  }
  return el;
}

/** patch makes the children of an element like those given. Elements of the same
 * data-key are the same; what carries the same data-keep is left as it is, which
 * is how a form keeps what was typed. */
export function patch(into, nodes) {
  const fresh = document.createDocumentFragment();
  fresh.append(...[nodes].flat(Infinity).filter((n) => n !== null && n !== undefined && n !== false && n !== ''));
  like(into, fresh);
}

const keyOf = (n) => (n.nodeType === 1 ? n.getAttribute('data-key') : null);

function like(old, fresh) {
  const keyed = new Map();
  for (const c of old.children) if (keyOf(c)) keyed.set(keyOf(c), c);
  const wanted = new Set([...fresh.children].map(keyOf));
  let at = old.firstChild;
  const drop = () => { const gone = at; at = at.nextSibling; gone.remove(); };
  for (const want of [...fresh.childNodes]) {
    while (at && keyOf(at) && !wanted.has(keyOf(at))) drop();
    const key = keyOf(want);
    let have = key ? keyed.get(key) : at;
    if (have && (have.nodeName !== want.nodeName || keyOf(have) !== key)) have = null;
    if (!have) { old.insertBefore(want, at); continue; }
    if (have === at) at = at.nextSibling;
    else old.insertBefore(have, at);
    become(have, want);
  }
  while (at) drop();
}

function become(old, want) {
  if (old.nodeType !== 1) {
    if (old.data !== want.data) old.data = want.data;
    return;
  }
  const keep = want.getAttribute('data-keep');
  if (keep !== null && old.getAttribute('data-keep') === keep) return;
  const own = (name) => name === 'open' && old.nodeName === 'DETAILS'; // its reader opens and closes it
  for (const { name } of [...old.attributes]) if (!want.hasAttribute(name) && !own(name)) old.removeAttribute(name);
  for (const { name, value } of want.attributes) if (old.getAttribute(name) !== value && !own(name)) old.setAttribute(name, value);
  for (const name of handlers) if (old[name] !== want[name]) old[name] = want[name];
  if (keep !== null) { old.replaceChildren(...want.childNodes); return; }
  like(old, want);
}

const shapes = {
  moon: 'M13 9.6A5.6 5.6 0 1 1 6.4 3a4.6 4.6 0 0 0 6.6 6.6z',
  screen: 'M2 3h12v8H2zM8 11v3M5.5 14h5',
  key: 'M7 8a2.6 2.6 0 1 1-5.2 0A2.6 2.6 0 0 1 7 8zM7 8h7.2v2.6M11 8v2',
  unknown: 'M14.2 8A6.2 6.2 0 1 1 1.8 8a6.2 6.2 0 0 1 12.4 0zM6.1 6.4a1.9 1.9 0 1 1 2.7 1.7c-.6.3-.8.7-.8 1.3M8 11.4v.2',
  running: 'M5 3.4v9.2L12.4 8z',
  ending: 'M4 2h8M4 14h8M5 2c0 3.4 3 4 3 6s-3 2.6-3 6M11 2c0 3.4-3 4-3 6s3 2.6 3 6',
  ended: 'M4 4h8v8H4z',
  yes: 'M3 8.6 6.4 12 13 4.6',
  no: 'M4 4l8 8M12 4l-8 8',
  alert: 'M8 2.2 14.6 13.8H1.4zM8 6.4v3.4M8 11.7v.2',
  clock: 'M14.2 8A6.2 6.2 0 1 1 1.8 8a6.2 6.2 0 0 1 12.4 0zM8 4.4V8l2.4 1.6',
  leave: 'M7 2H3v12h4M6.4 8H14M11 5l3 3-3 3',
  away: 'M6 3H3v10h10v-3M9 2.5h4.5V7M13.5 2.5 7.5 8.5',
  change: 'M2 5h10M9.5 2.5 12 5 9.5 7.5M14 11H4M6.5 8.5 4 11l2.5 2.5',
  lock: 'M4 7h8v7H4zM5.5 7V5a2.5 2.5 0 0 1 5 0v2',
  theme: 'M14.2 8A6.2 6.2 0 1 1 1.8 8a6.2 6.2 0 0 1 12.4 0zM8 1.8v12.4M8 4.5l4.5 2M8 8h6M8 11.5l4.5-2',
};

export const icon = (name) => s('svg', { class: 'icon', viewBox: '0 0 16 16', 'aria-hidden': 'true', focusable: 'false' }, s('path', { d: shapes[name] }));

/** mark is a status: an icon and its word, never the colour alone. */
export const mark = (tone, name, word) => h('span', { class: 'mark ' + tone }, icon(name), h('span', {}, word));

/** unseen is for those who hear the page. */
export const unseen = (text) => h('span', { class: 'unseen' }, text);

/** away is a link that leaves for AWS. */
export const away = (href, text) => h('a', { href, target: '_blank', rel: 'noreferrer noopener' }, text, icon('away'), unseen(' (opens in a new tab)'));

/** table is one that becomes cards where there is no room. columns are {head,
 * cell(row), class}; the roles are said again because cards would lose them. cls
 * keep stays a table. */
export function table(caption, columns, rows, key, cls) {
  return h('div', { class: 'scroll ' + (cls ?? '') }, h('table', { role: 'table', 'aria-label': caption },
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, columns.map((c) => h('th', { role: 'columnheader', scope: 'col', class: c.class }, c.unseen ? unseen(c.head) : c.head)))),
    h('tbody', { role: 'rowgroup' }, rows.map((r) => h('tr', { role: 'row', 'data-key': key?.(r) },
      columns.map((c) => h('td', { role: 'cell', class: c.class, 'data-head': c.unseen ? null : c.head }, h('div', {}, c.cell(r)))))))));
}

/** facts is a list of names and values. */
export const facts = (cls, list) => h('dl', { class: cls }, list.filter(Boolean).map(([name, value, note]) =>
  h('div', {}, h('dt', {}, name), h('dd', {}, value, note ? h('span', { class: 'note' }, note) : null))));

/** field is a labelled control with its help and, where it was refused, why. */
export function field(label, control, help, wrong) {
  const id = control.id;
  if (help || wrong) control.setAttribute('aria-describedby', [help && id + '-help', wrong && id + '-wrong'].filter(Boolean).join(' '));
  if (wrong) control.setAttribute('aria-invalid', 'true');
  return h('div', { class: 'field' }, h('label', { for: id }, label), control,
    help && h('p', { class: 'help', id: id + '-help' }, help), wrong && h('p', { class: 'wrong', id: id + '-wrong' }, icon('alert'), wrong));
}

export const choice = (id, value, options, more) => h('select', { id, name: id, ...more, value }, options.map(([v, text]) => h('option', { value: v }, text)));

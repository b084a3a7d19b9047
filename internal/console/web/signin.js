// Signing in: at the identity provider, where one is set (authorization code with
// PKCE, by way of our own server), and else with a token that the reader has.

import { h, mark, icon } from './dom.js';
import { get, send, signIn, store, Problem } from './api.js';

const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const home = () => location.origin + '/';

/** leave goes to the identity provider; back() takes it up from there. */
async function leave({ authorize, clientId, scope }) {
  const begun = { state: random(), verifier: random(), hash: location.hash };
  const challenge = base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(begun.verifier))));
  store.set('begun', JSON.stringify(begun));
  const to = new URL(authorize);
  for (const [k, v] of Object.entries({ response_type: 'code', client_id: clientId, redirect_uri: home(), scope, state: begun.state, code_challenge: challenge, code_challenge_method: 'S256' })) to.searchParams.set(k, v);
  location.assign(to);
}

let trouble = null;

/** back is what the page does first: a browser that comes back from the provider has
 * a code or a refusal in its address. A code that this tab did not ask for is
 * somebody else's, and is not used. */
export async function back() {
  const q = new URLSearchParams(location.search);
  if (!q.has('code') && !q.has('error')) return;
  let begun = null;
  try { begun = JSON.parse(store.get('begun')); } catch { /* it is not ours */ }
  store.set('begun', null);
  history.replaceState(null, '', '/' + (begun?.hash ?? ''));
  if (!begun || q.get('state') !== begun.state) trouble = 'This tab did not begin this sign-in. Sign in again.';
  else if (q.has('error')) trouble = 'The identity provider refused: ' + (q.get('error_description') ?? q.get('error'));
  else {
    try {
      signIn((await send('POST', '/signin', { code: q.get('code'), verifier: begun.verifier, redirectUri: home() })).token);
    } catch (e) {
      if (!(e instanceof Problem)) throw e;
      trouble = e.detail;
    }
  }
}

/** form asks to sign in; done is called where a token was given here. */
export async function form(detail, done) {
  let provider = {};
  try { provider = await get('/signin'); } catch (e) {
    if (!(e instanceof Problem)) throw e;
    trouble ??= 'The identity provider cannot be reached: ' + e.detail;
  }
  const wrong = trouble;
  trouble = null;
  const panel = (...parts) => h('form', { class: 'panel narrow', 'data-key': 'signin', 'data-keep': 'signin' + (wrong ?? '') + provider.authorize, 'aria-label': 'Sign in', onsubmit: async (e) => { e.preventDefault(); await submit(e); } },
    h('p', {}, mark('warn', 'lock', 'You are not signed in')), wrong ? h('p', { class: 'wrong', role: 'alert' }, icon('alert'), wrong) : h('p', {}, detail), parts);
  const input = h('input', { id: 'token', type: 'password', autocomplete: 'off', required: true });
  const submit = async () => {
    if (provider.authorize) return leave(provider);
    signIn(input.value.trim().replace(/^Bearer /, ''));
    done();
  };
  if (provider.authorize) return panel(h('p', { class: 'help' }, 'At ' + new URL(provider.authorize).host + '. You come back here.'), h('p', { class: 'acts' }, h('button', { class: 'main' }, 'Sign in')));
  return panel(h('div', { class: 'field' }, h('label', { for: 'token' }, 'Access token'), input, h('p', { class: 'help' }, 'From your identity provider, for Nightshift. It is kept until this tab is closed.')),
    h('p', { class: 'acts' }, h('button', { class: 'main' }, 'Sign in')));
}

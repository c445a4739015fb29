// A short line at the bottom, with a way back where there is one; screen readers hear it, too.
import {byId, h} from './dom.js';

const kShownMs = 6000;
let timer = 0;

export function notify(text, undo = null) {
  const box = byId('notice');
  clearTimeout(timer);
  const close = () => { box.hidden = true; };
  const button = undo === null ? null :
      h('button', {type: 'button', class: 'button', onclick: () => { close(); undo(); }}, 'Undo');
  box.replaceChildren(...[h('span', {}, text), button].filter(Boolean));
  box.hidden = false;
  timer = setTimeout(close, kShownMs);
}

// For screen readers alone.
export function announce(text) { byId('announcer').textContent = text; }

// A problem under an answer, with what may help. Where the server has said when to come back, the
// button counts down to that.
import {h, icon} from './dom.js';

const kLabels = {retry: 'Try again', key: 'Enter API key', settings: 'Open settings'};

// [element, a function that ends its clock]. `actions`: by the problem's action, what to do.
export function problemBox({title, detail, action, retryAt}, actions) {
  const button = action === null ? null :
      h('button', {type: 'button', class: 'button', onclick: actions[action]}, kLabels[action]);
  const again = action === null || action === 'retry' ? null :
      h('button', {type: 'button', class: 'button', onclick: actions.retry}, kLabels.retry);
  const box = h('div', {class: 'problem', role: 'alert'}, icon('alert'),
                h('div', {class: 'problem-text'}, h('strong', {}, title), detail ? h('p', {}, detail) : null),
                button, again);
  if (action !== 'retry' || retryAt === null || retryAt === undefined) return [box, () => {}];
  let clock = 0;
  const tick = () => {
    const left = Math.ceil((retryAt - Date.now()) / 1000);
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Try again in ${left} s` : kLabels.retry;
    if (left <= 0) clearInterval(clock);
  };
  clock = setInterval(tick, 250);
  tick();
  return [box, () => clearInterval(clock)];
}

// Copies text. The clipboard API is for secure contexts; on plain http the old command still works.
import {h} from './dom.js';

export async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // No permission: the old way needs none.
    }
  }
  const focused = document.activeElement;
  const area = h('textarea', {class: 'visually-hidden', 'aria-hidden': 'true', tabindex: '-1'});
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  focused?.focus();
  return done;
}

// The button says for a moment that it has happened.
export async function copyFrom(button, text) {
  const done = await copyText(text);
  const use = button.querySelector('use');
  const {label} = button.dataset;
  button.dataset.label = label ?? button.getAttribute('aria-label');
  button.setAttribute('aria-label', done ? 'Copied' : 'Copying failed');
  use?.setAttribute('href', done ? '#icon-check' : '#icon-alert');
  setTimeout(() => {
    button.setAttribute('aria-label', button.dataset.label);
    use?.setAttribute('href', '#icon-copy');
  }, 1600);
}

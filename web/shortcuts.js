// Keys that work anywhere on the page. The dialog that lists them is in index.html.
import {byId} from './dom.js';

const writes = (target) => target.matches('input:not([type="checkbox"]):not([type="radio"]), textarea, select');

// `actions`: newChat, toggleSidebar, regenerate, escape, focusMessage.
export function bindShortcuts(actions) {
  const help = byId('help');
  byId('open-help').addEventListener('click', () => help.showModal());
  help.addEventListener('click', (event) => {
    if (event.target === help || event.target.closest('[data-close]')) help.close();
  });
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    if (document.querySelector('dialog[open], :popover-open') !== null) return;
    const command = (event.ctrlKey || event.metaKey) && event.shiftKey;
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !writes(event.target);
    let action;
    if (event.key === 'Escape') action = actions.escape;
    if (command) action = {KeyO: actions.newChat, KeyS: actions.toggleSidebar}[event.code];
    if (command && event.key === 'Enter') action = actions.regenerate;
    if (plain) action ??= {'/': actions.focusMessage, '?': () => help.showModal()}[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  });
}

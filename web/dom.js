// Elements from code, never from markup: text is always a text node, so nothing that a model or a user wrote
// can become markup.

const kSvg = 'http://www.w3.org/2000/svg';

// h('button', {class: 'x', onclick: f}, 'text', node). Attributes that are null, undefined or false
// are left out, and so are such children.
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) {
      node.addEventListener(name.slice(2), value);
    } else {
      node.setAttribute(name, value === true ? '' : value);
    }
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// One of the symbols in index.html.
export function icon(name) {
  const svg = document.createElementNS(kSvg, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(kSvg, 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.append(use);
  return svg;
}

// A button that is an icon alone; its label is for screen readers and the tooltip.
export function iconButton(name, label, onclick, attributes = {}) {
  return h('button', {type: 'button', class: 'icon-button', 'aria-label': label, title: label,
                      onclick, ...attributes}, icon(name));
}

export const byId = (id) => document.getElementById(id);

// The time between calls is at least one frame; the last call always happens.
export function oncePerFrame(action) {
  let pending = 0;
  return {
    request() {
      if (pending === 0) {
        pending = requestAnimationFrame(() => {
          pending = 0;
          action();
        });
      }
    },
    cancel() {
      cancelAnimationFrame(pending);
      pending = 0;
    },
  };
}

// Unlike crypto.randomUUID this works on plain http, too.
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

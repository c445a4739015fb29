// The answer as its tokens, tinted by how likely each was; a click on one shows the alternatives.
import {byId, h} from './dom.js';

const kUnlikely = [[0.05, 'p-lowest'], [0.2, 'p-low'], [0.5, 'p-middle'], [0.8, 'p-high']];

const probabilityOf = ({logprob}) => logprob === null ? 0 : Math.min(1, Math.exp(logprob));

function percent(probability) {
  const value = probability * 100;
  if (value > 0 && value < 0.01) return '< 0.01 %';
  return `${value.toFixed(value >= 99.995 || value < 10 ? 2 : 1)} %`;
}

// A token on its own line of text: blanks made visible, a part of a character as its bytes.
function visible({text, bytes}) {
  if (text.includes('\ufffd') && bytes !== null && bytes !== undefined) {
    return bytes.map((byte) => `‹${byte.toString(16).toUpperCase().padStart(2, '0')}›`).join('');
  }
  return text.replaceAll('\n', '↵').replaceAll('\t', '⇥').replaceAll(' ', '␣') || '(empty)';
}

function tokenSpan(token, index) {
  const probability = probabilityOf(token);
  const [, tint] = kUnlikely.find(([limit]) => probability < limit) ?? [0, null];
  const classes = ['token', tint, token.thinking ? 'thinking' : null].filter(Boolean).join(' ');
  const text = token.text.includes('\ufffd') ? visible(token) : token.text.replaceAll('\n', '↵\n');
  return h('span', {class: classes, role: 'button', tabindex: index === 0 ? '0' : '-1', 'data-index': index,
                    'aria-haspopup': 'dialog', 'aria-label': `${visible(token)}, ${percent(probability)}`},
           text);
}

function bar(token, chosen) {
  const probability = probabilityOf(token);
  const fill = h('span', {class: 'bar-fill'});
  fill.style.width = `${Math.max(0.5, probability * 100)}%`;
  return h('li', {class: chosen ? 'chosen' : null},
           h('code', {class: 'bar-token'}, visible(token)),
           h('span', {class: 'bar', 'aria-hidden': 'true'}, fill),
           h('span', {class: 'bar-percent'}, percent(probability)),
           chosen ? h('span', {class: 'visually-hidden'}, 'chosen') : null);
}

function showAlternatives(token, anchor) {
  const box = byId('alternatives');
  const same = (other) => other.text === token.text && other.logprob === token.logprob;
  const rows = token.top.map((other) => ({...other, chosen: same(other)}));
  if (!rows.some(({chosen}) => chosen)) rows.push({...token, chosen: true});
  rows.sort((a, b) => probabilityOf(b) - probabilityOf(a));
  const rest = 1 - rows.reduce((sum, row) => sum + probabilityOf(row), 0);
  box.replaceChildren(
      h('h2', {}, 'Alternatives of ', h('code', {}, visible(token))),
      h('ol', {class: 'bars'}, ...rows.map((row) => bar(row, row.chosen))),
      h('p', {class: 'hint'}, rest > 0.0001 ? `All other tokens: ${percent(rest)}` : 'No other token had a chance.'));
  box.showPopover();
  place(box, anchor.getClientRects()[0]);
  box.focus();
}

// Below the token, or above it where there is no room.
function place(box, anchor) {
  const margin = 8;
  const {width, height} = box.getBoundingClientRect();
  const left = Math.min(anchor.left, window.innerWidth - width - margin);
  const below = anchor.bottom + margin;
  const top = below + height > window.innerHeight ? anchor.top - height - margin : below;
  box.style.left = `${Math.max(margin, left)}px`;
  box.style.top = `${Math.max(margin, top)}px`;
}

export class TokensView {
  constructor() {
    this.tokens = [];
    this.element = h('div', {class: 'tokens', role: 'group',
                             'aria-label': 'Tokens; arrow keys move, Enter shows alternatives',
                             onclick: (event) => this.open(event.target),
                             onkeydown: (event) => this.onKey(event)});
  }

  update(tokens) {
    if (tokens !== this.tokens || tokens.length < this.element.childElementCount) this.element.replaceChildren();
    this.tokens = tokens;
    const fresh = tokens.slice(this.element.childElementCount);
    const offset = this.element.childElementCount;
    this.element.append(...fresh.map((token, i) => tokenSpan(token, offset + i)));
  }

  open(target) {
    const span = target.closest('.token');
    if (span === null) return;
    this.moveTo(span);
    showAlternatives(this.tokens[Number(span.dataset.index)], span);
    for (const other of document.querySelectorAll('.token.open')) other.classList.remove('open');
    span.classList.add('open');
    byId('alternatives').ontoggle = ({newState}) => {
      if (newState !== 'closed') return;
      span.classList.remove('open');
      if (document.activeElement === document.body) span.focus({preventScroll: true});
    };
  }

  moveTo(span) {
    this.element.querySelector('[tabindex="0"]')?.setAttribute('tabindex', '-1');
    span.setAttribute('tabindex', '0');
    span.focus({preventScroll: true});
  }

  onKey(event) {
    const span = event.target.closest('.token');
    if (span === null) return;
    const to = {
      ArrowRight: span.nextElementSibling, ArrowLeft: span.previousElementSibling,
      Home: this.element.firstElementChild, End: this.element.lastElementChild,
    }[event.key];
    if (event.key === 'Enter' || event.key === ' ') {
      this.open(span);
    } else if (to) {
      this.moveTo(to);
    } else {
      return;
    }
    event.preventDefault();
  }
}

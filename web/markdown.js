// Shows Markdown that is still growing. Blocks that are complete keep their elements; only the last
// one, which more text may change, is made anew.
import {parseBlocks} from './blocks.js';
import {h, iconButton} from './dom.js';
import {highlight} from './highlight.js';
import {renderInline} from './inline.js';

const kMaxLanguage = 24;

function renderCode(block) {
  const language = block.info.split(/\s/)[0].slice(0, kMaxLanguage);
  const text = block.text.join('\n');
  const code = h('code', {}, ...highlight(text, language));
  return h('figure', {class: 'code'},
           h('figcaption', {},
             h('span', {class: 'code-language'}, language || 'text'),
             iconButton('copy', 'Copy code', null, {'data-action': 'copy-code'})),
           h('pre', {tabindex: '0', 'aria-label': language ? `Code, ${language}` : 'Code'}, code));
}

function renderItem(item, list) {
  const children = [];
  for (const block of item.blocks) {
    const tight = !list.loose && block.type === 'paragraph';
    children.push(...(tight ? renderInline(block.text) : [renderBlock(block)]));
  }
  if (item.checked === null) return h('li', {}, ...children);
  const box = h('input', {type: 'checkbox', disabled: true, checked: item.checked,
                          'aria-label': item.checked ? 'done' : 'not done'});
  return h('li', {class: 'task'}, box, ...children);
}

function renderTable(block) {
  const cell = (tag, text, column) => {
    const align = block.align[column];
    return h(tag, {class: align && `align-${align}`, scope: tag === 'th' ? 'col' : null},
             ...renderInline(text));
  };
  const row = (tag, cells) => h('tr', {}, ...cells.map((text, column) => cell(tag, text, column)));
  return h('div', {class: 'table', tabindex: '0', role: 'region', 'aria-label': 'Table'},
           h('table', {}, h('thead', {}, row('th', block.head)),
             h('tbody', {}, ...block.rows.map((cells) => row('td', cells)))));
}

function renderBlock(block) {
  switch (block.type) {
    case 'heading':  // below the page's own
      return h(`h${Math.min(6, block.level + 1)}`, {}, ...renderInline(block.text));
    case 'code':
      return renderCode(block);
    case 'rule':
      return h('hr');
    case 'quote':
      return h('blockquote', {}, ...block.blocks.map(renderBlock));
    case 'list': {
      const start = block.ordered && block.start !== 1 ? block.start : null;
      return h(block.ordered ? 'ol' : 'ul', {start, class: block.loose ? 'loose' : null},
               ...block.items.map((item) => renderItem(item, block)));
    }
    case 'table':
      return renderTable(block);
    default:
      return h('p', {}, ...renderInline(block.text));
  }
}

export class MarkdownView {
  // Fills `element`, which nobody else changes.
  constructor(element) {
    this.element = element;
    this.shown = '';
    this.tailStart = 0;  // in the text, of the last block
    this.tail = null;  // its element
    this.tailBlock = null;
    this.tailText = '';
  }

  update(text) {
    if (text === this.shown) return;
    if (!text.startsWith(this.shown)) this.clear();
    this.shown = text;
    const lines = text.slice(this.tailStart).split('\n').map((line) => line.replace(/\r$/, ''));
    const blocks = parseBlocks(lines);
    if (blocks.length === 0) return;
    const textOf = (index) => lines.slice(blocks[index].line, blocks[index + 1]?.line).join('\n').trimEnd();
    if (this.tail === null || textOf(0) !== this.tailText) this.replaceTail(blocks[0]);
    for (const block of blocks.slice(1)) {
      this.tail = renderBlock(block);
      this.element.append(this.tail);
    }
    this.tailText = textOf(blocks.length - 1);
    this.tailBlock = blocks.at(-1);
    this.tailStart = this.offsetOf(this.tailBlock.line);
  }

  replaceTail(block) {
    const next = renderBlock(block);
    if (this.tail === null) {
      this.element.append(next);
    } else if (block.type === 'code' && this.tailBlock.type === 'code') {
      // The same box, so that its scroll position stays.
      this.tail.querySelector('code').replaceChildren(...next.querySelector('code').childNodes);
      this.tail.querySelector('.code-language').textContent =
          next.querySelector('.code-language').textContent;
      return;
    } else {
      this.tail.replaceWith(next);
    }
    this.tail = next;
  }

  // Where a line of the tail begins in the whole text.
  offsetOf(line) {
    let offset = this.tailStart;
    for (let i = 0; i < line; ++i) offset = this.shown.indexOf('\n', offset) + 1;
    return offset;
  }

  clear() {
    this.element.replaceChildren();
    this.shown = '';
    this.tailStart = 0;
    this.tail = null;
    this.tailBlock = null;
    this.tailText = '';
  }
}

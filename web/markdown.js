// Shows Markdown that is still growing. Blocks that are complete keep their elements; only the last
// ones, which more text may change, are made anew.
import {parseBlocks} from './blocks.js';
import {CodeView} from './code_view.js';
import {h, iconButton} from './dom.js';
import {renderInline} from './inline.js';

const kMaxLanguage = 24;

const languageOf = (block) => block.info.split(/\s/)[0].slice(0, kMaxLanguage);

function updateCode(node, block) {
  const language = languageOf(block);
  node.querySelector('.code-language').textContent = language || 'text';
  node.querySelector('pre').setAttribute('aria-label', language ? `Code, ${language}` : 'Code');
  node.codeView.update(block.text.join('\n'), language);
}

function renderCode(block) {
  const code = h('code');
  const node = h('figure', {class: 'code'},
                 h('figcaption', {},
                   h('span', {class: 'code-language'}),
                   iconButton('copy', 'Copy code', null, {'data-action': 'copy-code'})),
                 h('pre', {tabindex: '0'}, code));
  node.codeView = new CodeView(code);
  updateCode(node, block);
  return node;
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

// `node` shows `old`, a list of the same kind.
function updateList(node, block, old) {
  block.items.forEach((item, i) => {
    if (item.text === old.items[i]?.text) return;
    const next = renderItem(item, block);
    i < old.items.length ? node.children[i].replaceWith(next) : node.append(next);
  });
  while (node.children.length > block.items.length) node.lastChild.remove();
}

const isSameKind = (a, b) => a.type === b.type && a.ordered === b.ordered && a.start === b.start && a.loose === b.loose;

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

// Two lines decide what begins at the first of them (a table, say), and the last line may not be
// complete.
const kUndecidedLines = 3;

export class MarkdownView {
  // Fills `element`, which nobody else changes.
  constructor(element) {
    this.element = element;
    this.clear();
  }

  clear() {
    this.element.replaceChildren();
    this.shown = '';
    this.tailStart = 0;  // in the text
    this.tail = [];  // {block, text, node} of the blocks that more text may change
  }

  update(text) {
    if (text === this.shown) return;
    if (!text.startsWith(this.shown)) this.clear();
    this.shown = text;
    const lines = text.slice(this.tailStart).split('\n').map((line) => line.replace(/\r$/, ''));
    const blocks = parseBlocks(lines);
    const old = this.tail;
    this.tail = blocks.map((block, i) => {
      const source = lines.slice(block.line, blocks[i + 1]?.line).join('\n').trimEnd();
      return {block, text: source, node: this.place(block, source, old[i])};
    });
    for (const {node} of old.slice(blocks.length)) node.remove();
    this.settle(lines.length);
  }

  // The element that shows the block: the old one where that can stay.
  place(block, text, old) {
    if (old === undefined) {
      const node = renderBlock(block);
      this.element.append(node);
      return node;
    }
    if (old.text === text && old.block.type === block.type) return old.node;
    // The same box, so that its scroll position stays.
    if (block.type === 'code' && old.block.type === 'code') {
      updateCode(old.node, block);
      return old.node;
    }
    if (block.type === 'list' && isSameKind(block, old.block)) {
      updateList(old.node, block, old.block);
      return old.node;
    }
    const node = renderBlock(block);
    old.node.replaceWith(node);
    return node;
  }

  // What stands before the last block whose beginning is certain does not change any more.
  settle(numLines) {
    const certain = this.tail.findLastIndex(({block}) => block.line + kUndecidedLines <= numLines);
    if (certain <= 0) return;
    for (let line = this.tail[certain].block.line; line > 0; --line) {
      this.tailStart = this.shown.indexOf('\n', this.tailStart) + 1;
    }
    this.tail = this.tail.slice(certain);
  }
}
